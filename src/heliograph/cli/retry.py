HELP = "x"
EXAMPLES = "x"


def add_arguments(p):
    pass
