"""Whose request it is."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr

from mindlong.app.desk import Desk
from mindlong.app.door import COOKIE
from mindlong.app.place import Place, owner_of_browser, owner_of_user

DeskOf = Callable[[gr.Request], Desk]


def desks(place: Place, with_users: bool) -> DeskOf:
    """The desk of who sends a request: the user that is logged in, else the browser."""

    def desk_of(request: gr.Request) -> Desk:
        if with_users:
            return Desk(place, place.person(owner_of_user(request.username or "")))
        return Desk(place, place.person(owner_of_browser(request.cookies.get(COOKIE, ""))))

    return desk_of
