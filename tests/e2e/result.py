"""What a run of tests prints, and which tests it is of."""

import os
import time
import unittest


class Result(unittest.TestResult):
    """One line a test, with `name` in front of it, and why it failed."""

    def __init__(self, name=""):
        super().__init__()
        self.prefix = name and name + ": "
        self.passed = self.failed = 0

    def startTest(self, test):
        super().startTest(test)
        self.trouble = []
        self.skip = None
        self.started = time.monotonic()
        print(f"{self.prefix}{test.id()} ... ", end="", flush=True)

    def addError(self, test, error):
        if isinstance(test, unittest.suite._ErrorHolder):
            self.failed += 1
            print(f"{self.prefix}{test.id()} ... FAIL\n{self._exc_info_to_string(error, test)}", flush=True)
            return
        self.trouble.append(self._exc_info_to_string(error, test))

    addFailure = addError

    def addSubTest(self, test, subtest, error):
        if error:
            self.trouble.append(f"{subtest.id()}\n{self._exc_info_to_string(error, test)}")

    def addUnexpectedSuccess(self, test):
        self.trouble.append("succeeded, which was not expected\n")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.skip = reason

    def stopTest(self, test):
        super().stopTest(test)
        if self.trouble:
            self.failed += 1
            print("FAIL\n" + "\n".join(self.trouble), flush=True)
        elif self.skip is not None:
            print(f"skip: {self.skip}", flush=True)
        else:
            self.passed += 1
            print(f"ok ({time.monotonic() - self.started:.1f} s)", flush=True)


def module_name(word):
    name = os.path.basename(word).removesuffix(".py")
    return name if name.startswith("test_") else "test_" + name


def matching(suite, text):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from matching(test, text)
        elif text in test.id():
            yield test
