// Requests to the kernel, for widgets that need something only Python has, such as a decoder or a disk.

const GONE = "The kernel has been restarted. Run this cell again.";

class Kernel {
  // `refresh()` is called when Python reports that its replies have changed.
  constructor(core, refresh = () => {}) {
    Object.assign(this, { core, refresh, tick: 0, waiting: new Map() });     // tick -> the promise of a reply
    this.client = Math.random().toString(36).slice(2);      // two browser tabs may share one kernel
    const { model } = core;
    model.on("msg:custom", (content, buffers) => this.receive(content, buffers));
    model.on("comm_live_update", () => {         // the kernel has been restarted, so no reply will come
      for (const { reject } of this.waiting.values()) reject(new Error(GONE));
    });
  }

  // Resolves to the rows of the reply, as Float32Arrays.
  async ask(request) {
    const { core } = this;
    const tick = ++this.tick;
    const late = setTimeout(
      () => core.say("No answer from the kernel yet. It is busy, or this cell must be run again.", true), 3000);
    try {
      return await new Promise((resolve, reject) => {
        this.waiting.set(tick, { resolve, reject });
        try {
          core.model.send({ ...request, tick, client: this.client });
        } catch {
          reject(new Error(GONE));
        }
      });
    } finally {
      clearTimeout(late);
      this.waiting.delete(tick);
      if (core.message.text.startsWith("No answer")) core.say("");
    }
  }

  receive(content, buffers) {
    if (content.changed) return this.refresh();
    const asked = content.client === this.client && this.waiting.get(content.tick);
    if (!asked) return;
    if (content.error) return asked.reject(new Error(content.error));
    const { buffer, byteOffset, byteLength } = buffers[0];
    // The bytes are copied, because a Float32Array cannot start at an arbitrary offset of a larger buffer.
    const all = new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
    const [n, size] = content.shape;
    asked.resolve(Array.from({ length: n }, (_, i) => all.subarray(i * size, (i + 1) * size)));
  }
}
