//! The table of boards, with their makers' figures.

/// The core of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// The core of the RP2040 and of small STM32.
    M0Plus,
    /// A core without floating-point unit and DSP extension.
    M3,
    /// A core with floating-point unit and DSP extension.
    M4,
    /// A core that issues two instructions per cycle.
    M7,
    /// A core with the DSP extension.
    M33,
    /// A core with vector instructions (MVE).
    M55,
    /// RV32 with multiplication; compressed instructions, atomics and floats make no difference.
    RiscV,
}

impl Core {
    /// All cores.
    pub const ALL: [Self; 7] = [Self::M0Plus, Self::M3, Self::M4, Self::M7, Self::M33, Self::M55, Self::RiscV];

    /// The maker's name for the core.
    pub const fn name(self) -> &'static str {
        match self {
            Self::M0Plus => "Cortex-M0+",
            Self::M3 => "Cortex-M3",
            Self::M4 => "Cortex-M4F",
            Self::M7 => "Cortex-M7",
            Self::M33 => "Cortex-M33",
            Self::M55 => "Cortex-M55",
            Self::RiscV => "RV32IMC",
        }
    }

    /// The name in `counts.json` of the emulated core.
    pub(super) const fn emulated(self) -> &'static str {
        match self {
            Self::M0Plus => "M0+ code",
            Self::M3 => "M3",
            Self::M4 => "M4F",
            Self::M7 => "M7",
            Self::M33 => "M33",
            Self::M55 => "M55",
            Self::RiscV => "RV32IMC",
        }
    }

    /// About how many instructions a cycle completes, with stalls on loads, the dual issue of an
    /// M7, and the two cycles of an M55's vector instructions.
    pub(super) const fn per_cycle(self) -> f64 {
        match self {
            Self::M0Plus | Self::RiscV | Self::M3 => 0.7,
            Self::M4 | Self::M33 => 0.75,
            Self::M7 => 1.3,
            Self::M55 => 0.6,
        }
    }
}

/// A board or a chip. The `Cargo.toml` of a board in `firmware-examples` has the same figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Board {
    /// The name of the board.
    pub name: &'static str,
    /// The name of its chip.
    pub chip: &'static str,
    /// The core that a program runs on.
    pub core: Core,
    /// Flash for one program, in KiB.
    pub flash: u64,
    /// Contiguous RAM for one program, in KiB.
    pub ram: u64,
    /// The clock in megahertz.
    pub clock: f64,
    /// The bandwidth of external flash in megabytes per second; `None` for internal flash, which is
    /// as fast as the core uses weights.
    pub flash_rate: Option<f64>,
}

const fn board(
    name: &'static str,
    chip: &'static str,
    core: Core,
    flash: u64,
    ram: u64,
    clock: f64,
    flash_rate: Option<f64>,
) -> Board {
    Board { name, chip, core, flash, ram, clock, flash_rate }
}

/// Cache lines of eight bytes: 28 clocks of 62.5 MHz over four data lines.
const RP2040: Option<f64> = Some(17.9);
/// Adjacent cache lines are read in one transfer: 16 clocks of 50 MHz for eight bytes, in the boot
/// ROM's configuration.
const RP2350: Option<f64> = Some(25.0);
/// Cache lines of 32 bytes: 152 clocks of 40 MHz over two data lines, the default of images.
const ESP32: Option<f64> = Some(8.4);
/// Cache lines of 32 bytes: 78 clocks of 100 MHz over four data lines.
const I_MX_RT: Option<f64> = Some(41.0);

/// Common boards.
pub static BOARDS: [Board; 26] = [
    board("Raspberry Pi Pico", "RP2040", Core::M0Plus, 2048, 264, 125.0, RP2040),
    board("Raspberry Pi Pico 2", "RP2350", Core::M33, 4096, 520, 150.0, RP2350),
    board("Raspberry Pi Pico 2 W", "RP2350", Core::M33, 4096, 520, 150.0, RP2350),
    board("Nucleo-F446RE", "STM32F446RE", Core::M4, 512, 128, 180.0, None),
    board("STM32F4 Discovery", "STM32F407VG", Core::M4, 1024, 128, 168.0, None),
    board("Nucleo-L476RG", "STM32L476RG", Core::M4, 1024, 96, 80.0, None),
    board("Nucleo-H743ZI", "STM32H743ZI", Core::M7, 2048, 512, 480.0, None),
    board("Nucleo-U575ZI-Q", "STM32U575ZI", Core::M33, 2048, 768, 160.0, None),
    board("Nucleo-U5A5ZJ-Q", "STM32U5A5ZJ", Core::M33, 4096, 2496, 160.0, None),
    board("nRF52840-DK", "nRF52840", Core::M4, 1024, 256, 64.0, None),
    board("BBC micro:bit v2", "nRF52833", Core::M4, 512, 128, 64.0, None),
    board("nRF54L15-DK", "nRF54L15", Core::M33, 1524, 256, 128.0, None),
    board("nRF5340-DK", "nRF5340", Core::M33, 1024, 512, 128.0, None),
    board("ESP32-C3-DevKit", "ESP32-C3", Core::RiscV, 4032, 313, 160.0, ESP32),
    board("Nucleo-G071RB", "STM32G071RB", Core::M0Plus, 128, 36, 64.0, None),
    board("Adafruit Feather RP2040", "RP2040", Core::M0Plus, 8192, 264, 125.0, RP2040),
    board("Arduino Nano RP2040 Connect", "RP2040", Core::M0Plus, 16384, 264, 125.0, RP2040),
    board("SparkFun Thing Plus RP2350", "RP2350", Core::M33, 16384, 520, 150.0, RP2350),
    board("Pimoroni Pico Plus 2", "RP2350", Core::M33, 16384, 520, 150.0, RP2350),
    board("Seeed XIAO ESP32C6", "ESP32-C6", Core::RiscV, 4032, 441, 160.0, ESP32),
    board("ESP32-C6-DevKitC-1", "ESP32-C6", Core::RiscV, 8128, 441, 160.0, ESP32),
    board("ESP32-H2-DevKitM-1", "ESP32-H2", Core::RiscV, 4032, 251, 96.0, ESP32),
    board("Teensy 4.0", "i.MX RT1062", Core::M7, 1984, 512, 600.0, I_MX_RT),
    board("Teensy 4.1", "i.MX RT1062", Core::M7, 7936, 512, 600.0, I_MX_RT),
    board("MIMXRT1060-EVKB", "i.MX RT1062", Core::M7, 8192, 768, 600.0, I_MX_RT),
    board("MIMXRT1010-EVK", "i.MX RT1011", Core::M7, 16384, 64, 500.0, I_MX_RT),
];
