// The part of WASI (preview 1) that the command line needs, with files in memory.

const ERRNO = { success: 0, badf: 8, exist: 20, inval: 28, isdir: 31, noent: 44, nosys: 52, notdir: 54, notempty: 55 };
const KIND = { device: 2, directory: 3, file: 4 };
const OPEN = { create: 1, directory: 2, exclusive: 4, truncate: 8 };

/** Ends a program. */
class Exit {
  constructor(code) {
    this.code = code;
  }
}

export class Wasi {
  #memory;
  #handles = new Map();
  #root = new Map();
  #lines = new TextDecoder();

  /** `files` maps paths to bytes. `print` receives the program's output, and whether it is an error. */
  constructor(args, files, print) {
    this.args = args;
    this.print = print;
    for (const [path, bytes] of files) this.#parent(path, true).folder.set(path.split("/").at(-1), { bytes, length: bytes.length });
    for (const output of [0, 1, 2]) this.#handles.set(output, { output });
    this.#handles.set(3, { node: this.#root, path: "" });
  }

  /** Runs a program, and returns its exit code. */
  async run(module) {
    const functions = this.#functions();
    const missing = new Proxy(functions, { get: (all, name) => all[name] ?? (() => ERRNO.nosys) });
    const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: missing });
    this.#memory = instance.exports.memory;
    try {
      instance.exports._start();
      return 0;
    } catch (error) {
      if (error instanceof Exit) return error.code;
      throw error;
    }
  }

  /** The bytes of a file, or undefined. */
  read(path) {
    const file = this.#node(path);
    return file?.bytes?.subarray(0, file.length);
  }

  /** The folder of a path, and the last component of the path. */
  #parent(path, make = false) {
    const names = path.split("/").filter((name) => name && name !== ".");
    const name = names.pop();
    let folder = this.#root;
    for (const step of names) {
      if (make && !folder.has(step)) folder.set(step, new Map());
      folder = folder.get(step);
      if (!(folder instanceof Map)) return {};
    }
    return { folder, name };
  }

  #node(path) {
    const { folder, name } = this.#parent(path);
    return name === undefined ? folder : folder?.get(name);
  }

  #functions() {
    const view = () => new DataView(this.#memory.buffer);
    const bytes = (at, length) => new Uint8Array(this.#memory.buffer, at, length);
    const text = (at, length) => new TextDecoder().decode(bytes(at, length));
    const encoded = this.args.map((word) => new TextEncoder().encode(`${word}\0`));
    const long = (at, value) => view().setBigUint64(at, BigInt(value), true);
    const word = (at, value) => view().setUint32(at, value, true);
    const kind = (node) => (node instanceof Map ? KIND.directory : KIND.file);
    /** The handles of a list of buffers. */
    const buffers = (at, count) =>
      Array.from({ length: count }, (_, index) => bytes(view().getUint32(at + 8 * index, true), view().getUint32(at + 8 * index + 4, true)));
    const stat = (at, node) => {
      bytes(at, 64).fill(0);
      view().setUint8(at + 16, node ? kind(node) : KIND.device);
      long(at + 24, 1);
      long(at + 32, node?.length ?? 0);
      return ERRNO.success;
    };
    const transfer = (fd, list, count, done, move) => {
      const handle = this.#handles.get(fd);
      if (!handle) return ERRNO.badf;
      let total = 0;
      for (const buffer of buffers(list, count)) total += move(handle, buffer);
      word(done, total);
      return ERRNO.success;
    };
    return {
      args_sizes_get: (count, size) => {
        word(count, encoded.length);
        word(size, encoded.reduce((sum, arg) => sum + arg.length, 0));
        return ERRNO.success;
      },
      args_get: (list, at) => {
        for (const [index, arg] of encoded.entries()) {
          word(list + 4 * index, at);
          bytes(at, arg.length).set(arg);
          at += arg.length;
        }
        return ERRNO.success;
      },
      environ_sizes_get: (count, size) => {
        word(count, 0);
        word(size, 0);
        return ERRNO.success;
      },
      environ_get: () => ERRNO.success,
      clock_time_get: (_clock, _precision, at) => {
        long(at, Math.round((performance.timeOrigin + performance.now()) * 1e6));
        return ERRNO.success;
      },
      random_get: (at, length) => {
        for (let done = 0; done < length; done += 65536) {
          const random = crypto.getRandomValues(new Uint8Array(Math.min(65536, length - done)));
          bytes(at + done, random.length).set(random);
        }
        return ERRNO.success;
      },
      sched_yield: () => ERRNO.success,
      proc_exit: (code) => {
        throw new Exit(code);
      },
      fd_prestat_get: (fd, at) => {
        if (fd !== 3) return ERRNO.badf;
        word(at, 0);
        word(at + 4, 1);
        return ERRNO.success;
      },
      fd_prestat_dir_name: (_fd, at) => {
        bytes(at, 1)[0] = "/".charCodeAt(0);
        return ERRNO.success;
      },
      fd_fdstat_get: (fd, at) => {
        const handle = this.#handles.get(fd);
        if (!handle) return ERRNO.badf;
        bytes(at, 24).fill(0);
        view().setUint8(at, handle.node ? kind(handle.node) : KIND.device);
        view().setBigUint64(at + 8, ~0n, true);
        view().setBigUint64(at + 16, ~0n, true);
        return ERRNO.success;
      },
      fd_fdstat_set_flags: () => ERRNO.success,
      fd_filestat_get: (fd, at) => (this.#handles.has(fd) ? stat(at, this.#handles.get(fd).node) : ERRNO.badf),
      fd_close: (fd) => (this.#handles.delete(fd) ? ERRNO.success : ERRNO.badf),
      fd_sync: () => ERRNO.success,
      fd_seek: (fd, offset, whence, at) => {
        const handle = this.#handles.get(fd);
        if (!handle?.node) return ERRNO.badf;
        const from = [0, handle.position, handle.node.length][whence];
        handle.position = from + Number(offset);
        long(at, handle.position);
        return ERRNO.success;
      },
      fd_read: (fd, list, count, done) =>
        transfer(fd, list, count, done, (handle, buffer) => {
          if (!handle.node) return 0;
          const { bytes: data, length } = handle.node;
          const part = data.subarray(handle.position, Math.min(length, handle.position + buffer.length));
          buffer.set(part);
          handle.position += part.length;
          return part.length;
        }),
      fd_write: (fd, list, count, done) =>
        transfer(fd, list, count, done, (handle, buffer) => {
          if (!handle.node) {
            this.print(this.#lines.decode(buffer.slice()), handle.output === 2);
            return buffer.length;
          }
          const { node, position } = handle;
          const end = position + buffer.length;
          if (end > node.bytes.length) {
            const grown = new Uint8Array(Math.max(end, 2 * node.bytes.length));
            grown.set(node.bytes);
            node.bytes = grown;
          }
          node.bytes.set(buffer, position);
          node.length = Math.max(node.length, end);
          handle.position = end;
          return buffer.length;
        }),
      fd_readdir: (fd, at, length, cookie, used) => {
        const { node } = this.#handles.get(fd) ?? {};
        if (!(node instanceof Map)) return ERRNO.notdir;
        let written = 0;
        for (const [index, [name, entry]] of [...node].entries()) {
          if (index < Number(cookie)) continue;
          const encodedName = new TextEncoder().encode(name);
          const record = new Uint8Array(24 + encodedName.length);
          const fields = new DataView(record.buffer);
          fields.setBigUint64(0, BigInt(index + 1), true);
          fields.setUint32(16, encodedName.length, true);
          fields.setUint8(20, kind(entry));
          record.set(encodedName, 24);
          const part = record.subarray(0, length - written);
          bytes(at + written, part.length).set(part);
          written += part.length;
          if (written === length) break;
        }
        word(used, written);
        return ERRNO.success;
      },
      path_filestat_get: (_fd, _flags, at, length, result) => {
        const node = this.#node(text(at, length));
        return node ? stat(result, node) : ERRNO.noent;
      },
      path_open: (_fd, _lookup, at, length, flags, _rights, _inherited, _fdflags, result) => {
        const path = text(at, length);
        const { folder, name } = this.#parent(path);
        let node = name === undefined ? folder : folder?.get(name);
        if (node && flags & OPEN.create && flags & OPEN.exclusive) return ERRNO.exist;
        if (!node && !(folder && flags & OPEN.create)) return ERRNO.noent;
        if (node && flags & OPEN.directory && !(node instanceof Map)) return ERRNO.notdir;
        if (!node) folder.set(name, (node = { bytes: new Uint8Array(0), length: 0 }));
        if (flags & OPEN.truncate) node.length = 0;
        const fd = Math.max(...this.#handles.keys()) + 1;
        this.#handles.set(fd, { node, position: 0 });
        word(result, fd);
        return ERRNO.success;
      },
      path_rename: (_from, fromAt, fromLength, _to, toAt, toLength) => {
        const [from, to] = [this.#parent(text(fromAt, fromLength)), this.#parent(text(toAt, toLength))];
        if (!from.folder?.has(from.name) || !to.folder) return ERRNO.noent;
        to.folder.set(to.name, from.folder.get(from.name));
        from.folder.delete(from.name);
        return ERRNO.success;
      },
      path_link: (_from, _lookup, fromAt, fromLength, _to, toAt, toLength) => {
        const [node, to] = [this.#node(text(fromAt, fromLength)), this.#parent(text(toAt, toLength))];
        if (!node || !to.folder) return ERRNO.noent;
        if (to.folder.has(to.name)) return ERRNO.exist;
        to.folder.set(to.name, node);
        return ERRNO.success;
      },
      path_unlink_file: (_fd, at, length) => {
        const { folder, name } = this.#parent(text(at, length));
        return folder?.delete(name) ? ERRNO.success : ERRNO.noent;
      },
    };
  }
}
