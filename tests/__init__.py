"""The tests: a package, so that the exams of ``tests.exams`` can be imported by whoever sits them."""
