"""The addresses of accounts: allauth's, and those that it does not have."""

from django.urls import include, path

from usage.signup import GatedSignupView
from usage.tokens import tokens_page

urlpatterns = [
    path("accounts/signup/", GatedSignupView.as_view(), name="account_signup"),
    path("accounts/", include("allauth.account.urls")),
    path("account/tokens", tokens_page, name="account_tokens"),
]
