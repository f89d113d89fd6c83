"""An older load procedure, with other parameters, stays beside the deployed one, and is not run."""

from collections.abc import Iterator

import pytest

from tests.sql.loading import Loading

# As procedures were before they told of files with the same content.
OLDER = (
    "(varchar, varchar, varchar, varchar, inout varchar, inout bigint, inout bigint, inout bigint,"
    " inout bigint, inout bigint, inout varchar, inout varchar, inout varchar, inout varchar)"
)


@pytest.fixture
def with_older(flights: Loading) -> Iterator[Loading]:
    procedure = f"procedure etl.load_flights{OLDER}"
    with flights.session("AdminSecretArn") as admin:
        body = "$$ begin raise exception 'the older one'; end; $$"
        admin.execute(f"create {procedure} language plpgsql as {body}".encode())
        admin.execute(f"grant execute on {procedure} to etl_loader".encode())
        yield flights
        admin.execute(f"drop {procedure}".encode())


def test_call_goes_to_the_procedure_that_has_as_many_parameters(with_older: Loading) -> None:
    version = with_older.version(1)
    assert with_older.load(version).status == "loaded"
    assert with_older.view() == with_older.amount_to(version)
