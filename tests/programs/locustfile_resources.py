"""Somebody's locustfile with the one line that adds the tab; a login where `--web-login` asks for one."""

from locust import FastHttpUser, constant, events, task

from loadtests import resources  # noqa: F401


class Visitor(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def look(self):
        self.client.get("/")


@events.init.add_listener
def _login(environment, **_):
    if environment.web_ui and environment.web_ui.web_login:
        environment.web_ui.app.secret_key = "of this test"
        environment.web_ui.login_manager.user_loader(lambda _: None)
