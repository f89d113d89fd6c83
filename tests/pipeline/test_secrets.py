"""A client that knows one of the secrets and nothing else finds the warehouse, and is let in."""

import pytest

from tests.deployed_pipeline import Pipeline


@pytest.mark.parametrize(
    ("secret", "user"), [("LoaderSecretArn", "etl_loader"), ("AdminSecretArn", "etl_admin")]
)
def test_secret_holds_all_that_a_login_takes(pipeline: Pipeline, secret: str, user: str) -> None:
    held = pipeline.stack.secret(secret)

    assert set(held) == {
        *("engine", "host", "port", "dbname", "namespaceName"),
        *("username", "password"),
    }
    assert held["engine"] == "redshift"
    assert pipeline.who_logs_in(secret) == (user, "dev")
