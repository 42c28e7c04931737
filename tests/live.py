"""The studio itself on a real ASGI server, for what a test client cannot show: streams, browsers, public clients."""

import socket
import threading
import time

import pytest
from asgiref.sync import async_to_sync


@pytest.fixture
def live_studio(transactional_db, settings):
    """Address of a uvicorn that serves the studio over this test's database."""
    import uvicorn

    from studio.asgi import application

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(application, log_level="warning", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=15)


def streamed(response) -> bytes:
    """The whole body of a response that streams, whichever way it does."""
    if response.is_async:
        return async_to_sync(gathered)(response.streaming_content)
    return b"".join(response.streaming_content)


async def gathered(pieces) -> bytes:
    return b"".join([piece async for piece in pieces])
