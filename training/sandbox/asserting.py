"""Read the text of assert-style tests: what may run before them, and which names the candidate has to supply."""

import ast
import builtins

BOUND = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)


def job(tests: str, setup: str, entry_point: str) -> dict:
    """What the tests' own process is told."""
    names, checked = sorted(missing(tests)), calls(tests, "check")
    return {"tests": tests, "setup": runnable(setup), "entry_point": entry_point, "names": names, "checked": checked}


def runnable(setup: str) -> str:
    """Setup code as it stands, or with the body that its last function lacks; "" when neither is a program."""
    for text in (setup, setup.rstrip() + "\n    pass\n"):
        try:
            compile(text, "setup.py", "exec")
            return text
        except (SyntaxError, ValueError):
            continue
    return ""


def missing(tests: str) -> set[str]:
    """Names the tests use and do not define: setup does, or else the candidate must.

    >>> missing("def check(candidate):\\n    assert candidate(1) == helper(1)")
    {'helper'}
    """
    used, defined = set(), {"__name__", *dir(builtins)}
    for node in ast.walk(ast.parse(tests)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else defined).add(node.id)
        elif isinstance(node, BOUND):
            defined.add(node.name)
        elif isinstance(node, ast.arg):
            defined.add(node.arg)
        elif isinstance(node, ast.alias):
            defined.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            defined.add(node.name)
    return used - defined


def calls(tests: str, name: str) -> bool:
    """Whether a statement of the module itself calls this function."""
    found = [node.value for node in ast.parse(tests).body if isinstance(node, ast.Expr)]
    return any(isinstance(node, ast.Call) and getattr(node.func, "id", "") == name for node in found)
