"""A running program whose lines are awaited."""

import re
import signal
import subprocess
import threading
import time

from machine import DEADLINE, Missing, end

CRASHES = [-number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
                                  signal.SIGSYS, signal.SIGTRAP)]


class Program:
    """Starts argv; collects what it prints, line by line, for await_line()."""

    def __init__(self, argv, **more):
        self.argv = argv
        self.lines = []   # of standard error
        self.output = []  # of standard output
        self.seen = 0     # lines of standard error that await_line() has passed
        self.changed = threading.Condition()
        self.ended = 0
        self.process = subprocess.Popen(argv, **{
            "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
            "start_new_session": True, **more})
        self.pid = self.process.pid
        self._readers = [threading.Thread(target=self._read, args=[pipe, lines], daemon=True)
                         for pipe, lines in ((self.process.stderr, self.lines),
                                             (self.process.stdout, self.output)) if pipe]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe, lines):
        for line in pipe:
            with self.changed:
                lines.append(line.decode(errors="replace").rstrip("\r\n"))
                self.changed.notify_all()
        pipe.close()
        with self.changed:
            self.ended += 1
            self.changed.notify_all()

    def _find(self, pattern):
        for at in range(self.seen, len(self.lines)):
            found = re.search(pattern, self.lines[at])
            if found:
                self.seen = at + 1
                return found
        return None

    def await_line(self, pattern, seconds=DEADLINE):
        """The match in the next line of standard error that has one; lines before it are passed over."""
        limit = time.monotonic() + seconds
        with self.changed:
            while not (found := self._find(pattern)):
                left = limit - time.monotonic()
                if left <= 0 or self.ended == len(self._readers):
                    why = "the program ended" if self.ended else f"{seconds} s have passed"
                    raise Missing(f"no line with {pattern!r}: {why}; it printed:\n{self.text()}")
                self.changed.wait(left)
            return found

    def text(self):
        """All of standard error so far."""
        return "\n".join(self.lines)

    def wait(self, seconds=DEADLINE):
        """The exit status, once it has ended and all that it printed was read."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Missing(f"{' '.join(self.argv)} has not ended within {seconds} s; it printed:\n"
                          f"{self.text()}") from None
        for reader in self._readers:
            reader.join(2)
        return status

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM, as a person would; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.wait()

    def kill(self):
        """Whatever it takes; that it has crashed is told, whatever it was there for."""
        if self.process.poll() is None:
            end([self.pid])
        status = self.process.wait()
        if status in CRASHES:
            raise Missing(f"{' '.join(self.argv)} crashed ({signal.Signals(-status).name}); it printed:\n{self.text()}")
