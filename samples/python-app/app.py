from http.server import BaseHTTPRequestHandler, HTTPServer

from greeter import greet


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = (greet(self.path.strip("/") or "world") + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    HTTPServer(("", 5000), Handler).serve_forever()
