"""Several clients at once."""

import threading


def start_threads(n, run):
    """Calls run(1) to run(n), each in another thread; returns the threads, and what went wrong in them."""
    problems = []

    def catch(number):
        try:
            run(number)
        except BaseException as error:  # of this thread: raised by the test
            problems.append(error)

    threads = [threading.Thread(target=catch, args=(number,)) for number in range(1, n + 1)]
    for each in threads:
        each.start()
    return threads, problems
