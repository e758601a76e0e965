// Runs a program of this board, as it is flashed, in rp2040js, an emulator of the RP2040, and types a text into the
// board's serial line: node emulated.mjs FOLDER_OF_RP2040JS PROGRAM TYPED ANSWERS
//
// It prints the output of the serial line, and ends after ANSWERS lines.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [emulator, program, typed, lines] = process.argv.slice(2);
const { ConsoleLogger, LogLevel, Simulator } = await import(pathToFileURL(`${emulator}/dist/esm/index.js`));

const FLASH = 0x1000_0000;
// Where the boot ROM copies the first 256 bytes of the flash and runs them, with the stack below.
const BOOT2 = 0x2004_1f00;

/** Writes the loaded segments of an ELF file into flash. */
function load(flash, elf) {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
  const [headers, size, count] = [view.getUint32(28, true), view.getUint16(42, true), view.getUint16(44, true)];
  for (let at = headers; at < headers + size * count; at += size) {
    const [kind, offset, , address, bytes] = [0, 4, 8, 12, 16].map((field) => view.getUint32(at + field, true));
    if (kind === 1 && bytes > 0) flash.set(elf.subarray(offset, offset + bytes), address - FLASH);
  }
}

const simulator = new Simulator();
const chip = simulator.rp2040;
// The emulator would warn about each register that it lacks.
chip.logger = new ConsoleLogger(LogLevel.Error);
load(chip.flash, readFileSync(program));
for (let at = 0; at < 252; at += 4) chip.writeUint32(BOOT2 + at, chip.readUint32(FLASH + at));
// The boot ROM leaves the core in this state; the code at BOOT2 then jumps to the vectors after it.
chip.core.SP = BOOT2;
chip.core.LR = 0;
chip.core.PC = BOOT2;

const uart = chip.uart[0];
let printed = "";
let next = 0;
const keys = Buffer.from(readFileSync(typed, "utf8"));
uart.onByte = (byte) => {
  printed += String.fromCharCode(byte);
  if (printed.split("\n").length > Number(lines)) {
    process.stdout.write(printed);
    process.exit(0);
  }
};
// Types after the first output, and no faster than the UART accepts bytes.
setInterval(() => {
  while (printed.includes("\n") && next < keys.length && !uart.rxFIFO.full) uart.feedByte(keys[next++]);
}, 1);
simulator.execute();
