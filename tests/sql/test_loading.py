"""These tests share a stack with others, to which they leave nothing."""

from tests.sql.loading import Loading


def test_what_was_loaded_is_taken_away(loading: Loading) -> None:
    loading.load(loading.version(1), loading.version(2, name="b.csv"))
    loading.empty()

    folder = f"staging/{loading.dataset.name}/"
    assert loading.stack.keys("RawBucketName", folder) == []
    assert loading.view() == {}
    assert loading.statuses() == {}
    assert (
        loading.query("select load_id from etl.loads where dataset = %s", loading.dataset.name)
        == []
    )
