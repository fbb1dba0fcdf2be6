"""The room's one door: every name that is promised is there."""

import chorus.mesh


def test_every_public_name_can_be_imported_from_the_room() -> None:
    for name in chorus.mesh.__all__:
        assert getattr(chorus.mesh, name) is not None
    assert set(chorus.mesh._MODULE) == set(chorus.mesh.__all__)
