"""Shutdown: asked last of all."""

from harness import TestCase, until


class Power(TestCase):
    def _check_descriptors(self):
        pass  # there is nobody to be asked

    def doCleanups(self):
        self._cleanups.clear()  # of the guest's folders: they went with it
        return super().doCleanups()

    def gone(self):
        try:
            with self.connect(seconds=1) as c:
                c.ask("Ping")
            return False
        except (OSError, AssertionError):
            return True

    def test_shutdown(self):
        """Answered, and then there is nobody any more."""
        with self.connect() as c:
            self.assertOk(c.ask("Shutdown"))
        until(self.gone, "end of the machine")
