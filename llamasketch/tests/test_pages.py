"""The pages: the way in, the studio behind it, and what a browser may do with them."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from generation.params import MODES
from usage.models import User

pytestmark = pytest.mark.usefixtures("pages", "db")


def test_anybody_sees_the_front_page(client: Client) -> None:
    response = client.get("/")

    assert response.status_code == 200
    assert "/accounts/login/" in response.content.decode()


def test_whoever_is_signed_in_finds_the_studio_from_the_front_page(
    client: Client, owner: User
) -> None:
    client.force_login(owner)

    assert 'href="/app"' in client.get("/").content.decode()


@pytest.mark.parametrize("is_open", [True, False])
def test_the_front_page_offers_sign_up_only_while_it_is_open(
    client: Client, settings: Settings, is_open: bool
) -> None:
    settings.SIGNUP_ENABLED = is_open

    assert ("/accounts/signup/" in client.get("/").content.decode()) is is_open


def test_the_studio_asks_strangers_to_sign_in(client: Client) -> None:
    response = client.get("/app")

    assert (response.status_code, response["Location"]) == (302, "/accounts/login/?next=/app")


def test_the_studio_comes_with_what_it_must_know(client: Client, owner: User) -> None:
    client.force_login(owner)

    response = client.get("/app")

    assert response.status_code == 200
    assert response.context["boot"]["email"] == owner.email
    assert response.context["boot"]["config"]["modes"] == list(MODES)
    assert "csrftoken" in response.cookies
    assert "no-store" in response["Cache-Control"]


def test_an_address_cannot_break_out_of_the_studios_page(client: Client, db: None) -> None:
    user = User.objects.create_user('"</script><script>alert(1)</script>"@example.com')
    client.force_login(user)

    page = client.get("/app").content.decode()

    assert "<script>alert(1)" not in page
    scripts = re.findall(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.S)
    assert user.email in [json.loads(script).get("email") for script in scripts]


def test_liveness_asks_no_database(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        response = client.get("/healthz")

    assert (response.status_code, response.content) == (200, b"ok")


@pytest.mark.parametrize("path", ["/", "/app", "/healthz"])
def test_pages_are_only_read(client: Client, path: str) -> None:
    assert client.post(path).status_code == 405


@pytest.mark.parametrize("path", ["/api/nothing", "/api/jobs/nothing", "/api/nothing/at/all"])
def test_an_unknown_address_of_the_api_is_json(client: Client, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 404
    assert response["Content-Type"] == "application/json"
    assert response.json()["code"] == "not_found"


def test_any_other_unknown_address_is_a_page(client: Client) -> None:
    response = client.get("/nothing")

    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/accounts/signup/", "/api/config"])
def test_a_browser_is_told_what_our_pages_may_do(client: Client, path: str) -> None:
    response = client.get(path)

    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "object-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert "camera=()" in response["Permissions-Policy"]


def test_no_page_runs_a_script_or_a_style_of_its_own(client: Client, owner: User) -> None:
    """The policy forbids both; a browser would leave them out in silence."""
    pages = [client.get(path) for path in ("/", "/accounts/login/", "/accounts/signup/")]
    client.force_login(owner)
    pages += [client.get(path) for path in ("/app", "/account/tokens", "/accounts/email/")]

    for response in pages:
        text = response.content.decode()
        scripts = re.findall(r"<script(?![^>]*\bsrc=)([^>]*)>", text)
        assert all("application/json" in attributes for attributes in scripts)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", text)


def test_the_admin_is_for_staff(client: Client, owner: User) -> None:
    client.force_login(owner)

    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize(
    "path",
    [
        "",
        "usage/user/",
        "usage/quotaday/",
        "usage/ledgerentry/",
        "generation/node/",
        "generation/node/add/",
        "generation/job/",
        "generation/generatedimage/",
    ],
)
def test_staff_can_look_at_everything(client: Client, path: str) -> None:
    client.force_login(User.objects.create_superuser("staff@example.com"))

    assert client.get(f"/admin/{path}").status_code == 200
