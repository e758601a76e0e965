// The module and a blob, as bytes, become a function that continues a text. `print` gets pieces of it.
export async function storyteller(module, blob, print) {
  const decoder = new TextDecoder();
  const env = { print: (at, length) => print(decoder.decode(new Uint8Array(memory.buffer, at, length))) };
  const { instance } = await WebAssembly.instantiate(module, { env });
  const { memory, bytes, load, write } = instance.exports;
  const put = (data) => {
    const at = bytes(data.length);
    new Uint8Array(memory.buffer, at, data.length).set(data);
  };
  put(blob);
  if (!load()) throw new Error("this blob cannot be read");
  return (text, tokens) => {
    put(new TextEncoder().encode(text));
    return Boolean(write(tokens));
  };
}
