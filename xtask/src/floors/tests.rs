//! Tests of the layering check, with imports written in many forms.

use super::*;

const HOUSE: &[&[&str]] = &[&["ground", "garden"], &["first"], &["attic"]];

fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let files = files.iter().map(|&(file, text)| (file.to_owned(), text.to_owned())).collect::<Vec<_>>();
    faults_of(&files, HOUSE).expect("the sources are Rust")
}

#[test]
fn imports_of_lower_floors_are_no_fault() {
    let house = [
        ("lib.rs", "mod attic; mod first; mod ground; pub use attic::Roof;"),
        ("ground.rs", "pub(crate) fn floor() {} pub(in crate::attic) fn far() {}"),
        ("first/mod.rs", "mod door; pub(crate) use door::open; use crate::ground::floor;"),
        ("first/door.rs", "use crate::{ground, ground::floor as bottom}; pub(crate) fn open() {}"),
        ("attic.rs", "use crate::first::open; pub struct Roof; fn f() { crate::ground::floor() }"),
    ];
    assert_eq!(faults(&house), [""; 0]);
}

#[test]
fn an_upward_import_is_found_however_it_is_written() {
    for import in [
        "use crate::attic::Roof;",
        "use super::attic::Roof;",
        "use super::{ground, attic::{self, Roof}};",
        "pub(crate) use crate::attic::Roof;",
        "use crate::Roof;",
        "fn f() -> usize { 1 + crate::attic::height() }",
        "fn f() { use crate::attic::height; height() }",
        "macro_rules! m { ($x:expr) => { $crate::attic::height($x) }; }",
        "#[cfg(feature = \"std\")] mod inner { use super::super::attic::Roof; }",
        "#[cfg(any(test, feature = \"std\"))] use crate::attic::Roof;",
    ] {
        let files = [("lib.rs", "pub use attic::Roof;"), ("attic.rs", ""), ("first.rs", import), ("ground.rs", "")];
        assert_eq!(faults(&files), ["`first` imports `attic`, which is on no lower floor"], "{import}");
    }
}

#[test]
fn rooms_of_one_floor_do_not_know_each_other_and_each_room_has_a_floor() {
    let files = [("ground.rs", "use crate::garden::Tree;"), ("garden.rs", ""), ("shed/mod.rs", "")];
    assert_eq!(faults(&files), ["`shed` has no floor", "`ground` imports `garden`, which is on no lower floor"]);
}

#[test]
fn a_circle_inside_a_room_is_found() {
    let pair = [
        ("first/mod.rs", ""),
        ("first/a.rs", "use super::b::B; pub struct A;"),
        ("first/b.rs", "use crate::first::c::C;"),
        ("first/c.rs", "fn f(_: &super::a::A) {}"),
    ];
    let found = faults(&pair);
    assert_eq!(found, ["files import each other in a circle: first::a -> first::b -> first::c -> first::a"]);
    let parent = [
        ("first/mod.rs", "mod a; pub(crate) use a::A; pub(crate) struct Own; fn f() { a::go() }"),
        ("first/a.rs", "use super::Own; pub struct A;"),
    ];
    assert_eq!(faults(&parent), ["files import each other in a circle: first -> first::a -> first"]);
}

#[test]
fn what_a_module_passes_on_is_of_the_file_that_has_it() {
    let files = [
        ("first/mod.rs", "mod a; mod b; pub(crate) use a::A; pub(crate) struct Own;"),
        ("first/a.rs", "use super::Own; pub struct A;"),
        ("first/b.rs", "use super::A;"),
    ];
    assert_eq!(faults(&files), [""; 0]);
}

#[test]
fn a_library_and_its_program_are_one_house() {
    let files = [
        ("lib.rs", "mod ground; mod attic; pub use attic::Roof;"),
        ("main.rs", "mod first;"),
        ("ground.rs", ""),
        ("first.rs", "use crate::Roof;"),
        ("attic.rs", "pub struct Roof;"),
    ];
    assert_eq!(faults(&files), ["`first` imports `attic`, which is on no lower floor"]);
}

#[test]
fn every_room_of_a_crate_has_one_floor() {
    for (folder, floors) in CRATES {
        let rooms = floors.concat();
        assert_eq!(rooms.iter().collect::<BTreeSet<_>>().len(), rooms.len(), "{folder}");
        let sources = sources(&crate::root().join(folder)).expect("the crate is there");
        let found = Crate::read(&sources).expect("its sources are Rust").modules;
        let found = found.keys().filter_map(|module| module.first()).map(String::as_str);
        assert_eq!(found.collect::<BTreeSet<_>>(), rooms.into_iter().collect(), "{folder}");
    }
}

#[test]
fn tests_may_import_anything() {
    for import in [
        "#[cfg(test)] mod tests { use crate::attic::Roof; }",
        "#[cfg(all(test, feature = \"std\"))] #[expect(dead_code)] mod tests { use crate::attic::Roof; }",
        "#[cfg(test)] use crate::attic::Roof; fn f() {}",
        "/// See [`Roof`](crate::attic::Roof).\nfn f() {}",
    ] {
        assert_eq!(faults(&[("attic.rs", ""), ("first.rs", import)]), [""; 0], "{import}");
    }
    let own_file =
        [("attic.rs", ""), ("first/mod.rs", "#[cfg(test)] mod tests;"), ("first/tests.rs", "use crate::attic::Roof;")];
    assert_eq!(faults(&own_file), [""; 0]);
}
