//! Runs the example `update` with a power failure at every erase and every write.

use kinglet::{Error, LoadError, RunError};
use kinglet_examples::flash::{Emulated, FlashError, Torn};
use kinglet_examples::models::stories;
use kinglet_examples::slots::{UpdateError, boot};
use kinglet_examples::update::{Memory, WRITES, flashed, install, renamed};

/// The checksum and the slot of the model that boots.
fn booted(flash: &mut [u8]) -> (u32, usize) {
    let flash = Emulated::new(flash);
    let booted = boot(&flash).expect("a whole model");
    (booted.model.checksum(), booted.slot)
}

fn factory() -> Box<Memory> {
    let mut memory = Box::new(Memory::new());
    flashed(&mut memory.flash.0);
    memory
}

fn named(first_letter: u8) -> Vec<u8> {
    let mut blob = vec![0; stories::BLOB.len()];
    renamed(&mut blob, first_letter);
    blob
}

#[test]
fn a_whole_model_boots_wherever_the_power_goes() {
    let mut memory = factory();
    let mut cuts = 0;
    // First into the empty second slot, then into the first slot, which has an older model.
    for (letter, slot) in [(b'A', 1), (b'B', 0)] {
        let new = named(letter);
        let before = memory.flash.0.to_vec();
        let (old, _) = booted(&mut memory.flash.0);
        for write in 0..WRITES {
            for torn in [Torn::Nothing, Torn::Half, Torn::All] {
                memory.flash.0.copy_from_slice(&before);
                let mut flash = Emulated::new(&mut memory.flash.0).cut_at(write, torn);
                let lost = install(&mut flash, &new, |_| Ok(()));
                assert!(matches!(lost, Err(UpdateError::Flash(FlashError::PowerLost))), "{write} {torn:?}");
                cuts += 1;
                // The seal is the last write.
                let sealed = write + 1 == WRITES && torn == Torn::All;
                let found = booted(&mut memory.flash.0);
                if sealed {
                    assert_ne!(found.0, old, "{write} {torn:?}");
                } else {
                    assert_eq!(found, (old, 1 - slot), "{write} {torn:?}");
                }
                // After power returns, the update is repeated on the remains.
                if write % 64 == 0 || write + 2 >= WRITES && !sealed {
                    install(&mut Emulated::new(&mut memory.flash.0), &new, |_| Ok(())).expect("it has power");
                    let (sum, there) = booted(&mut memory.flash.0);
                    assert_eq!((sum.to_le_bytes(), there), (*new.last_chunk().expect("a checksum"), slot));
                }
            }
        }
        memory.flash.0.copy_from_slice(&before);
        let mut flash = Emulated::new(&mut memory.flash.0);
        install(&mut flash, &new, |_| Ok(())).expect("it has power");
        assert_eq!(flash.writes, WRITES, "an update has other writes than were cut");
    }
    assert!(cuts > 1000, "{cuts} cuts");
}

#[test]
fn a_refused_update_leaves_the_old_model() {
    let mut memory = factory();
    let old = booted(&mut memory.flash.0);
    let mut wrong = named(b'A');
    wrong[100_000] ^= 1;
    let mut flash = Emulated::new(&mut memory.flash.0);
    let refused = install(&mut flash, &wrong, |_| Ok(()));
    assert!(matches!(refused, Err(UpdateError::Refused(Error::Load(LoadError::BadChecksum { .. })))), "{refused:?}");
    let failed = RunError::SelfTestFailed { layer: 3 };
    let refused = install(&mut flash, &named(b'A'), |_| Err(failed.into()));
    assert!(matches!(refused, Err(UpdateError::Refused(Error::Run(found))) if found == failed), "{refused:?}");
    let mut long = named(b'A');
    long[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let refused = install(&mut flash, &long, |_| Ok(()));
    assert!(matches!(refused, Err(UpdateError::TooLong)), "{refused:?}");
    assert_eq!(booted(&mut memory.flash.0), old);
}
