//! The emulated cores, and the programs that run on them.

/// A core that QEMU emulates.
pub(crate) struct Core {
    pub(crate) name: &'static str,
    pub(crate) folder: &'static str,
    pub(crate) target: &'static str,
    pub(crate) features: &'static str,
    pub(crate) qemu: &'static str,
}

impl Core {
    /// Environment variables for building. The Cortex-M55 shares its target with the Cortex-M33, so
    /// the compiler must be told its processor, which has vectors, low-overhead loops and
    /// conditional selects.
    pub(crate) fn environment(&self) -> &'static [(&'static str, &'static str)] {
        const CORTEX_M55: (&str, &str) =
            ("CARGO_TARGET_THUMBV8M_MAIN_NONE_EABIHF_RUSTFLAGS", "-C target-cpu=cortex-m55");
        if self.has_vectors() { &[CORTEX_M55] } else { &[] }
    }

    /// Whether an example is built for the core. `calls` needs flash for two models; cores that
    /// have it list the feature of this name.
    pub(crate) fn builds(&self, example: &str) -> bool {
        !["calls", "steps"].contains(&example) || self.features.split(',').any(|feature| feature == "calls")
    }

    fn has_vectors(&self) -> bool {
        self.features.contains("m55")
    }
}

pub(crate) const CORES: [Core; 7] = [
    Core {
        name: "M0+ code",
        folder: "qemu-cortex-m",
        target: "thumbv6m-none-eabi",
        features: "calls",
        qemu: "mps2-an385",
    },
    Core { name: "M3", folder: "qemu-cortex-m", target: "thumbv7m-none-eabi", features: "calls", qemu: "mps2-an385" },
    Core {
        name: "M4F",
        folder: "qemu-cortex-m",
        target: "thumbv7em-none-eabihf",
        features: "calls",
        qemu: "mps2-an386",
    },
    Core {
        name: "M7",
        folder: "qemu-cortex-m",
        target: "thumbv7em-none-eabihf",
        features: "calls",
        qemu: "mps2-an500",
    },
    Core {
        name: "M33",
        folder: "qemu-cortex-m",
        target: "thumbv8m.main-none-eabihf",
        features: "dsp,calls",
        qemu: "mps2-an505",
    },
    Core {
        name: "M55",
        folder: "qemu-cortex-m",
        target: "thumbv8m.main-none-eabihf",
        features: "m55,dsp",
        qemu: "mps3-an547",
    },
    Core {
        name: "RV32IMC",
        folder: "qemu-riscv32",
        target: "riscv32imc-unknown-none-elf",
        features: "calls",
        qemu: "virt",
    },
];

pub(crate) const EXAMPLES: [&str; 16] = [
    "generate",
    "classify",
    "tag",
    "command",
    "score",
    "fill_mask",
    "search",
    "bench",
    "calls",
    "steps",
    "chat",
    "self_test",
    "edges",
    "update",
    "accuracy_intents",
    "accuracy_commands",
];

/// The examples whose code size is measured. They are built without the parts of the runtime that
/// their models do not use.
pub(crate) const LEAN: [&str; 2] = ["generate", "classify"];
