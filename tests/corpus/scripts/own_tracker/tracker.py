"""A module of the user's that happens to have our name."""


class Run:
    def __init__(self, name):
        self.name, self.rows = name, []

    def log(self, **values):
        self.rows.append(values)


def track(*things):
    raise RuntimeError("this is the user's own tracker: nobody else may call it")
