from django.conf import settings

from scripts.launcher.services import BEAT_TASK


def test_beat_is_asked_for_by_what_it_sends_most_often() -> None:
    entries = settings.CELERY_BEAT_SCHEDULE.values()
    seconds = {str(entry["task"]): float(str(entry["schedule"])) for entry in entries}

    assert seconds[BEAT_TASK] == min(seconds.values())
