// A WebSocket server's side (RFC 6455), as much of it as a test needs: whole messages both ways, close codes.

import { createHash } from "node:crypto";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const [TEXT, BINARY, CLOSE, PING, PONG] = [1, 2, 8, 9, 10];

export class WebSocket {
  // `onmessage` has a string or a Buffer, `onclose` the code, 1006 where there was none.
  constructor(request, socket) {
    this.socket = socket;
    this.waiting = Buffer.alloc(0);
    this.code = 1006;
    this.onmessage = () => {};
    this.onclose = () => {};
    const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + GUID).digest("base64");
    socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.on("data", (data) => this.#read(data));
    socket.on("error", () => {});
    socket.on("close", () => this.onclose(this.code));
  }

  send(message) {
    this.#frame(typeof message === "string" ? TEXT : BINARY, Buffer.from(message));
  }

  close(code) {
    const body = Buffer.alloc(2);
    body.writeUInt16BE(code);
    this.#frame(CLOSE, body);
    this.socket.end();
  }

  // As a network that has gone away.
  drop() {
    this.socket.destroy();
  }

  #frame(opcode, body) {
    if (this.socket.destroyed || this.socket.writableEnded) return;
    const head = Buffer.alloc(body.length < 126 ? 2 : 4);
    head[0] = 0x80 | opcode;
    head[1] = Math.min(body.length, 126);
    if (head.length === 4) head.writeUInt16BE(body.length, 2);
    this.socket.write(Buffer.concat([head, body]));
  }

  #read(data) {
    this.waiting = Buffer.concat([this.waiting, data]);
    for (let size; (size = this.#take()) > 0;) this.waiting = this.waiting.subarray(size);
  }

  // Bytes of the frame that was handled; 0: it is not whole.
  #take() {
    const bytes = this.waiting;
    if (bytes.length < 6) return 0;
    const short = bytes[1] & 0x7f;
    const at = short === 126 ? 8 : 6;
    if (bytes.length < at) return 0;
    const length = short === 126 ? bytes.readUInt16BE(2) : short;
    if (bytes.length < at + length) return 0;
    const mask = bytes.subarray(at - 4, at);
    this.#handle(bytes[0] & 15, bytes.subarray(at, at + length).map((byte, i) => byte ^ mask[i % 4]));
    return at + length;
  }

  #handle(opcode, body) {
    if (opcode === TEXT) this.onmessage(body.toString());
    if (opcode === BINARY) this.onmessage(body);
    if (opcode === PING) this.#frame(PONG, body);
    if (opcode === CLOSE) {
      if (body.length >= 2) this.code = body.readUInt16BE(0);
      this.#frame(CLOSE, body);
      this.socket.end();
    }
  }
}
