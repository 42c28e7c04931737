"""Sessions in the database, read by a plain statement: every request pays for one."""

from types import SimpleNamespace

from django.contrib.sessions.backends import db
from django.db import connection
from django.utils import timezone

from annotation.rows import fetch

LIVE = "SELECT session_data FROM django_session WHERE session_key = %s AND expire_date > %s"


class SessionStore(db.SessionStore):
    def _get_session_from_db(self) -> SimpleNamespace | None:
        found = fetch(LIVE, [self.session_key, connection.ops.adapt_datetimefield_value(timezone.now())])
        if found is None:
            self._session_key = None
            return None
        return SimpleNamespace(session_data=found[0])
