from heliograph.watcher.agenda import SEARCHED_A_PASS, Agenda


def test_what_is_announced_comes_first_and_the_others_in_turn() -> None:
    agenda = Agenda()
    open_ones = {"a", "b", "c"}
    assert agenda.order(open_ones) == ["a", "b", "c"]
    agenda.looked(["a"], open_ones)
    assert agenda.order(open_ones) == ["b", "c", "a"], "whoever waited longest"
    agenda.announce(["z"])
    assert agenda.is_hurried
    assert agenda.order(open_ones) == ["z", "b", "c", "a"]
    agenda.looked(["z", "b"], open_ones)
    assert agenda.order(open_ones) == ["c", "a", "b"]
    assert not agenda.is_hurried


def test_each_open_one_gets_its_turn_when_a_pass_reaches_only_one() -> None:
    agenda, open_ones, looked = Agenda(), {f"e{n:03d}" for n in range(300)}, []
    for _ in range(300):
        first = agenda.order(open_ones)[0]
        looked.append(first)
        agenda.looked([first], open_ones)
    assert set(looked) == open_ones


def test_all_are_searched_at_a_start_and_later_a_few_at_a_time() -> None:
    agenda = Agenda()
    agenda.searched([])
    names = [f"e{n}" for n in range(1000)]
    agenda.search(names)
    assert len(agenda.to_search()) == 500
    agenda.searched(agenda.to_search())
    assert agenda.is_hurried, "a start hurries"
    agenda.searched(agenda.to_search())
    assert not agenda.is_searching
    agenda.search(names)
    assert agenda.to_search() == names[:SEARCHED_A_PASS]
    assert not agenda.is_hurried
