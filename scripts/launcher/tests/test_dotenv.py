from pathlib import Path

import pytest

from scripts.launcher.dotenv import with_dotenv
from scripts.launcher.refusal import Refusal


def test_values_are_read_and_the_environment_wins(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# what this machine has\n\nPENCIL_PORT=8200\nexport PENCIL_DAILY_LIMIT = 5 # a day\n"
        "PENCIL_SECRET_KEY='a # b'\nPENCIL_EMAIL_URL=\n"
    )

    found = with_dotenv({"PENCIL_PORT": "8300"}, path)

    assert found == {
        "PENCIL_PORT": "8300",
        "PENCIL_DAILY_LIMIT": "5",
        "PENCIL_SECRET_KEY": "a # b",
        "PENCIL_EMAIL_URL": "",
    }


def test_no_file_changes_nothing(tmp_path: Path) -> None:
    assert with_dotenv({"A": "b"}, tmp_path / ".env") == {"A": "b"}


@pytest.mark.parametrize("line", ["PENCIL_PORT", "8200", "a-b=c", "= x"])
def test_a_line_that_says_nothing_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / ".env"
    path.write_text(f"A=b\n{line}\n")

    with pytest.raises(Refusal, match="Line 2"):
        with_dotenv({}, path)
