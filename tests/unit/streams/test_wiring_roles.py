"""The roles that wiring builds are those of the table of topics."""

from streams.contract import topics
from streams.wiring.roles import role_named


def test_the_roles_and_the_table_of_topics_name_each_other() -> None:
    """A role without topics would do nothing; a topic of an unknown role would be read by nobody."""
    roles = [role_named(name) for name in topics.EVERY]
    assert tuple(role.name for role in roles) == topics.EVERY
    assert all(role.reads and role.writes for role in roles)
    tools = {topics.CLIENT, "weft dlq"}
    named = {
        name for spec in topics.TOPICS for name in (*spec.written_by, *spec.read_by) if not name.startswith("weft ")
    }
    assert named - tools <= set(topics.EVERY)
