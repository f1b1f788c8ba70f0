"""The room that a control group leaves."""

from elir_edge.core import memory

MB = 1_000_000


def test_the_room_of_a_control_group_is_without_what_it_uses(tmp_path, monkeypatch):
    files = {"CGROUP_LIMIT": 200 * MB, "CGROUP_USE": 150 * MB, "CGROUP_PARTS": f"file {60 * MB}\nshmem {10 * MB}\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(str(text))
        monkeypatch.setattr(memory, name, tmp_path / name)
    monkeypatch.setattr(memory, "_machine_room", lambda: None)
    monkeypatch.setattr(memory, "address_room", lambda: None)
    assert memory.memory_room() == 100 * MB
