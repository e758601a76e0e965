//! Preparing calibration texts of the user as inputs of a model.

use kinglet::format::spec::Direction;
use kinglet_convert::calibrate::{Calibration, fit};
use kinglet_convert::convert::convert;
use kinglet_convert::family::Options;
use kinglet_convert::numbers;
use kinglet_convert::opened::Source;
use kinglet_convert::report::Report;
use kinglet_convert::samples::Samples;
use kinglet_convert::texts::Input;
use kinglet_tests::golden_cases;

fn open(name: &str, direction: Direction) -> Source {
    let case = golden_cases().into_iter().find(|case| case.name == name).expect("a case of that name");
    Source::open(&case.folder, &Options { direction: Some(direction), ..Options::default() }).expect("it opens")
}

fn text(ids: &[u32]) -> Input {
    Input { ids: ids.to_vec(), ..Input::default() }
}

#[test]
fn a_text_is_turned_round_for_a_model_that_reads_backward() {
    for (direction, wanted) in [(Direction::Forward, [1, 2, 3]), (Direction::Backward, [3, 2, 1])] {
        let mut text = text(&[1, 2, 3]);
        assert!(!fit(&open("gpt2", direction), &mut text).expect("it fits"));
        assert_eq!(text.ids, wanted);
    }
}

#[test]
fn a_text_longer_than_the_model_is_cut_and_then_read() {
    for name in ["gpt2", "bert", "bart", "t5"] {
        let source = open(name, Direction::Forward);
        let positions = source.spec().last_stack().expect("a stack").max_positions as usize;
        let mut long = text(&vec![5; positions + 7]);
        let wide = source.spec().encoder.or(source.spec().decoder).expect("a stack").max_positions as usize;
        assert_eq!(fit(&source, &mut long).expect("it fits"), positions + 7 > wide, "{name}");
        assert!(long.ids.len() <= wide && long.decoder_ids.len() <= positions, "{name}");
        if source.spec().encoder.is_some() && source.spec().decoder.is_some() {
            // Without given tokens a decoder begins with its start token, as in generation.
            assert_eq!(Some(long.decoder_ids[0]), source.mapping.special.decoder_start, "{name}");
            assert!(long.decoder_ids.len() > 1, "{name}");
        }
        Calibration::gather(&source, &[long], &|| ()).expect("the reference reads it");
    }
}

/// Converts a golden checkpoint on a number of threads; returns the blob and the report as text.
fn made_on(threads: usize, name: &str) -> (Vec<u8>, String) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| {
        let mut source = open(name, Direction::Forward);
        let samples = Samples::standard(&source, None, true, false).expect("the reference runs");
        let chosen = numbers::choose(&mut source, &samples.calibrated, None, true, &|| ());
        let (_, calibration) = chosen.expect("a binary point holds the numbers");
        let converted = convert(&source, &[], calibration.as_ref(), &|| ()).expect("the values fit");
        let report = Report::new(&source, &converted, samples.kind, &samples.measured, &samples.shown, &|| ());
        (converted.blob.to_vec(), format!("{:?}", report.expect("the blob is of the checkpoint")))
    })
}

#[test]
fn the_number_of_threads_changes_no_byte_of_a_blob_and_nothing_of_its_report() {
    for name in ["gpt2", "bert", "t5"] {
        let alone = made_on(1, name);
        for threads in [2, 3, 7] {
            assert!(made_on(threads, name) == alone, "{name} on {threads} threads");
        }
    }
}

#[test]
fn a_text_that_the_model_cannot_read_is_refused_by_what_is_wrong() {
    let cases = [
        ("gpt2", text(&[]), "no tokens"),
        ("gpt2", text(&[1, 53]), "token 53"),
        ("bert", Input { token_types: vec![0, 2], ..text(&[1, 2]) }, "token type 2"),
        ("bert", Input { decoder_ids: vec![1], ..text(&[1, 2]) }, "decoder_ids"),
        ("bart", Input { decoder_ids: vec![1, 61], ..text(&[1, 2]) }, "token 61"),
    ];
    for (name, mut text, named) in cases {
        let said = fit(&open(name, Direction::Forward), &mut text).expect_err("it is refused").to_string();
        assert!(said.contains(named) && said.lines().count() == 2, "{name}: {said}");
    }
}
