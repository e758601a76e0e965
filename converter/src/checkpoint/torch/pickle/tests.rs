use super::*;

/// Why a pickle is refused, and whether as foreign rather than broken.
fn refused(bytes: &[u8]) -> (bool, String) {
    match Pickle::read(bytes) {
        Ok(pickle) => panic!("{:?} was read", pickle.value),
        Err(Refusal::Broken(what)) => (false, what),
        Err(Refusal::Foreign(what)) => (true, what),
    }
}

#[test]
fn a_function_of_another_module_is_refused_by_name_and_not_called() {
    for (program, name) in [
        (&b"cos\nsystem\n(X\x02\0\0\0lstR."[..], "`os.system`"),
        (b"\x80\x02cposix\nsystem\nq\0X\x02\0\0\0lsq\x01\x85q\x02Rq\x03.", "`posix.system`"),
        (b"c__builtin__\neval\n(tR.", "`__builtin__.eval`"),
        (b"ctorch._utils\n_rebuild_tensor_v3\n.", "`torch._utils._rebuild_tensor_v3`"),
        (b"ctorch\nOrderedDict\n.", "`torch.OrderedDict`"),
    ] {
        let (foreign, what) = refused(program);
        assert!(foreign && what.contains(name), "{what}");
    }
    // A name may be as long as a file; an error is not.
    let long = [b"c".as_slice(), &[b'a'; 10_000], b"\nb\n."].concat();
    assert!(refused(&long).1.len() < 200);
}

#[test]
fn opcodes_that_state_dictionaries_lack_are_refused_with_their_place() {
    // Instances, extensions, names on the stack, frames, and opcodes that duplicate or drop values.
    for opcode in [b'i', b'o', b'd', b'l', b'P', b'0', b'1', b'2', 0x81, 0x82, 0x8c, 0x92, 0x93, 0x94, 0x95, 0x97] {
        let (foreign, what) = refused(&[0x80, 2, b'N', opcode]);
        assert!(foreign && what.contains(&format!("{opcode:#04x} at byte 3")), "{what}");
    }
}

#[test]
fn depth_counts_and_sizes_are_bounded() {
    assert!(refused(&[b'('; 100]).1.contains("nests more than 64"));
    // Nested tuples cause no recursion, neither when they are made nor when they are dropped.
    let deep = [b"N".as_slice(), &[0x85; 1_000_000], b"."].concat();
    assert_eq!(Pickle::read(&deep).unwrap().objects.len(), 1_000_000);
    let long = vec![b'N'; MAX_STEPS + 1];
    assert!(refused(&long).1.contains("opcodes"));
    // A text of four gigabytes in a file of five bytes, and a number of 255 bytes.
    assert!(refused(b"X\xff\xff\xff\xff.").1.contains("ends in the middle"));
    assert!(refused(b"\x8a\xff.").1.contains("255 bytes"));
    // A memo slot is a name, not a length.
    assert_eq!(Pickle::read(b"Nr\xff\xff\xff\xffj\xff\xff\xff\xff.").unwrap().value, Value::None);
}

#[test]
fn programs_that_contradict_themselves_are_broken() {
    for (program, said) in [
        (&b""[..], "ends in the middle"),
        (b".", "more from a pickle's stack"),
        (b"(.", "more from a pickle's stack"),
        (b"N(\x85.", "more from a pickle's stack"),
        (b"t.", "was not opened"),
        (b"h\x07.", "object 7"),
        (b"Na.", "stack"),
        (b"NNa.", "not a list"),
        (b"NNNs.", "not a dictionary"),
        (b"}(Nu.", "without a value"),
        (b"ccollections\nOrderedDict\nNR.", "tuple of arguments"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(}K\0))tR.", "without a storage"),
        (b"X\x01\0\0\0\xff.", "UTF-8"),
        (b"ccollections", "in the middle of a name"),
    ] {
        let (foreign, what) = refused(program);
        assert!(!foreign && what.contains(said), "{program:?}: {what}");
    }
    for program in [&b"NNb."[..], b"NQ.", b")Q.", b"ctorch\nFloatStorage\n)R."] {
        refused(program);
    }
}

#[test]
fn a_storage_and_its_views_are_what_the_program_says() {
    let program = [
        b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(".as_slice(),
        b"(X\x07\0\0\0storagectorch\nHalfStorage\nX\x01\0\0\x007X\x03\0\0\0cpuK\x0ctQ",
        b"K\x02K\x03K\x02\x86K\x01K\x05\x86\x89ccollections\nOrderedDict\n)RtRs.",
    ]
    .concat();
    let pickle = Pickle::read(&program).unwrap();
    assert_eq!(pickle.len, program.len());
    let storage = Storage { dtype: Dtype::F16, key: "7", len: 12 };
    assert!(pickle.objects.iter().any(|object| matches!(object, Object::Storage(found) if *found == storage)));
    let [(Value::Text("w"), value)] = pickle.dict(pickle.value).unwrap() else { panic!("another key") };
    let Some(Object::Tensor(tensor)) = pickle.object(*value) else { panic!("no tensor") };
    assert_eq!((tensor.offset, &tensor.shape[..], &tensor.strides[..]), (2, &[3, 2][..], &[1, 5][..]));
}

#[test]
fn the_pairs_and_attributes_of_python_2_are_read() {
    let pairs = b"ccollections\nOrderedDict\n](U\x01aK\x01e\x85R}U\x09_metadataNsb.";
    let (_, what) = refused(pairs);
    assert!(what.contains("not pairs"), "{what}");
    let pairs = b"ccollections\nOrderedDict\n]](U\x01aK\x01ea\x85R}U\x09_metadataNsb.";
    let pickle = Pickle::read(pairs).unwrap();
    assert_eq!(pickle.dict(pickle.value), Some(&[(Value::Text("a"), Value::Int(1))][..]));
    for (bytes, number) in
        [(&b"\x8a\x00."[..], 0), (b"\x8a\x01\xff.", -1), (b"\x8a\x02\xff\0.", 255), (b"J\xfe\xff\xff\xff.", -2)]
    {
        assert_eq!(Pickle::read(bytes).unwrap().value, Value::Int(number));
    }
}
