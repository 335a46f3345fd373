"""supervisord's event listener: writes the lines that it is told of with their program's name in front."""
import sys


def words(text):
    return dict(word.split(":", 1) for word in text.decode().split())


def listen():
    while True:
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        header = sys.stdin.buffer.readline()
        if not header:
            return
        event = sys.stdin.buffer.read(int(words(header)["len"]))
        about, _, lines = event.partition(b"\n")
        name = words(about)["processname"].encode()
        sys.stderr.buffer.write(b"".join(name + b" | " + line for line in lines.splitlines(True)))
        sys.stderr.flush()
        sys.stdout.write("RESULT 2\nOK")
        sys.stdout.flush()


listen()
