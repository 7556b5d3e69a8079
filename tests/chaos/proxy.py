"""A TCP proxy between one worker and the coordinator that can hold back what is sent in
either direction, and cut connections."""

import socket
import struct
import threading


class Gate:
    """Lets bytes of one direction through, or holds them back."""

    def __init__(self):
        self.open = threading.Event()
        self.open.set()

    def stall(self):
        self.open.clear()

    def heal(self):
        self.open.set()


class Proxy:
    """Listens on `port` of loopback and connects to `target`, (host, port), for each
    connection it gets. Held bytes are not lost: TCP would not lose them either. Public
    functions may be called from any thread."""

    def __init__(self, target):
        self.up = Gate()    # worker to coordinator
        self.down = Gate()  # coordinator to worker
        self._target = target
        self._lock = threading.Lock()
        self._pairs = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def partition(self, up=True, down=True):
        if up:
            self.up.stall()
        if down:
            self.down.stall()

    def heal(self):
        self.up.heal()
        self.down.heal()

    def cut(self):
        """Resets every connection; new ones are taken."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            _reset(pair)

    def close(self):
        self._listener.close()
        self.heal()
        self.cut()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            server = socket.create_connection(self._target, timeout=5)
        except OSError:
            return _reset((client,))
        server.settimeout(None)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (client, server)
        with self._lock:
            self._pairs.add(pair)
        back = threading.Thread(target=self._pump, args=(server, client, self.down, pair), daemon=True)
        back.start()
        self._pump(client, server, self.up, pair)
        back.join()
        for end in pair:
            end.close()

    def _pump(self, source, sink, gate, pair):
        try:
            while data := source.recv(1 << 16):
                gate.open.wait()
                sink.sendall(data)
        except OSError:
            pass
        gate.open.wait()
        with self._lock:
            self._pairs.discard(pair)
        _reset(pair)


def _reset(sockets):
    """Ends connections so that the other side gets a reset, as from a host that is gone.
    Wakes whoever reads from them; closing would not."""
    for sock in sockets:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
