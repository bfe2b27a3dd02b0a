from types import SimpleNamespace

import pytest

from jack_operator.asking import AGAIN, DISCOVERY, PATIENCE, Asking


class Client:
    """A service that is there or not, and answers or not."""

    def __init__(self):
        self.ready, self.answer, self.asked = True, None, []

    def service_is_ready(self):
        return self.ready

    def call_async(self, request):
        self.asked.append(request)
        return SimpleNamespace(done=lambda: self.answer is not None, result=lambda: self.answer)


@pytest.fixture
def service():
    client, said = Client(), []
    return client, Asking(client, "brain/stop", lambda *words: said.append(words)), said


def test_what_came_of_it_is_told(service):
    client, asking, said = service
    asking.ask("please", 0.0)
    asking.proceed(0.1)
    client.answer = SimpleNamespace(success=True, message="The joints are damped")
    asking.proceed(0.2)
    asking.proceed(0.3)
    assert client.asked == ["please"]
    assert said == [("brain/stop ...", True), ("brain/stop: The joints are damped", True)]


def test_a_key_that_repeats_asks_once_and_who_insists_asks_again(service):
    client, asking, said = service
    for k in range(10):
        asking.ask("please", 0.04 * k)
    assert client.asked == ["please"] and len(said) == 1
    asking.ask("please", AGAIN)
    assert client.asked == ["please"] * 2
    client.answer = SimpleNamespace(success=True, message="")
    asking.proceed(AGAIN)
    asking.ask("please", AGAIN)
    assert client.asked == ["please"] * 3


def test_a_refusal_is_told_as_one(service):
    client, asking, said = service
    client.answer = SimpleNamespace(success=False, message="")
    asking.ask("please", 0.0)
    asking.proceed(0.0)
    assert said[-1] == ("brain/stop: done", False)


def test_who_is_found_late_is_asked_and_nobody_is_told_as_nobody(service):
    client, asking, said = service
    client.ready = False
    asking.ask("please", 0.0)
    asking.proceed(DISCOVERY)
    assert not client.asked and len(said) == 1
    client.ready = True
    asking.proceed(DISCOVERY)
    assert client.asked == ["please"]
    client.ready = False
    asking.ask("again", 5.0)
    asking.proceed(5.01 + DISCOVERY)
    assert said[-1][0].startswith("Nobody answers to brain/stop") and not said[-1][1]
    client.ready = True
    asking.proceed(6.0 + DISCOVERY)
    assert client.asked == ["please"]  # what was asked for long ago is not put any more


def test_a_question_that_was_lost_is_put_again(service):
    client, asking, said = service
    asking.ask("please", 0.0)
    asking.proceed(0.9 * AGAIN)
    assert client.asked == ["please"]
    asking.proceed(AGAIN)
    assert client.asked == ["please"] * 2 and len(said) == 1
    client.answer = SimpleNamespace(success=True, message="heard")
    asking.proceed(AGAIN + 0.1)
    asking.proceed(3 * AGAIN)
    assert client.asked == ["please"] * 2 and said[-1] == ("brain/stop: heard", True)


def test_silence_is_told(service):
    _, asking, said = service
    asking.ask("please", 0.0)
    asking.proceed(PATIENCE)
    assert len(said) == 1
    asking.proceed(PATIENCE + 0.1)
    assert said[-1] == ("brain/stop did not answer within 3 s.", False)
    asking.proceed(PATIENCE + 0.2)
    assert len(said) == 2
