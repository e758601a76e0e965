//! Checks the layering of modules. The layers are called floors, and a module at the crate's root,
//! with all modules below it, is called a room. A room may import rooms of lower floors only, and
//! files must not import each other in a cycle.
//!
//! The sources are parsed as tokens, so imports inside macros and paths in expressions are checked
//! like `use` items. A re-exported name counts as an import of the module that defines it. Tests
//! may import anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The checked crates: the folder of their sources, and their floors.
const CRATES: [(&str, &[&[&str]]); 3] = [("runtime/src", RUNTIME), ("converter/src", CONVERTER), ("xtask/src", XTASK)];

/// The rooms of the runtime, lowest floor first. Rooms of one floor do not import each other.
const RUNTIME: &[&[&str]] = &[
    &["error", "features", "fixed", "step"],
    &["format"],
    &["aligned", "kernels", "tokenizer"],
    &["model", "workspace"],
    &["cache", "ops", "sample"],
    &["attention", "convolution"],
    &["threads"],
    &["block"],
    &["session"],
    &["bench", "golden", "task"],
];

/// The rooms of the converter.
const CONVERTER: &[&[&str]] = &[
    &["files"],
    &["fixed", "json", "progress", "real", "source", "tables", "texts", "widths"],
    &["config"],
    &["checkpoint"],
    &["grammar", "hub", "tokenizer"],
    &["family"],
    &["weights"],
    &["opened"],
    &["balance", "biases", "inputs", "located", "reference", "vocabulary"],
    &["fidelity", "fit"],
    &["calibrate", "centre", "direction", "keys", "plan"],
    &["numbers", "quantize", "samples"],
    &["convert", "losses"],
    &["budget"],
    &["report"],
    &["page"],
    &["cli"],
];

/// The rooms of this program.
const XTASK: &[&[&str]] = &[
    &["cargo", "floors", "machines"],
    &["beside", "emulate", "floats", "programs", "python", "readme"],
    &["blobs", "boards", "browser", "counts", "executors", "first", "portable", "signed", "talk"],
    &["pico", "table", "template"],
    &["c", "checkpoint", "deep"],
    &["firmware"],
    &["bench"],
];

/// The path of a module from the crate's root.
type Module = Vec<String>;

/// Checks every crate of [`CRATES`].
///
/// # Errors
/// One line for each forbidden import.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut faults = Vec::new();
    for (folder, floors) in CRATES {
        let found = faults_of(&sources(&root.join(folder))?, floors)?;
        faults.extend(found.into_iter().map(|fault| format!("{folder}: {fault}")));
    }
    ensure!(
        faults.is_empty(),
        "{}\nMove what is imported to a lower floor, or what imports it to a higher one: \
         the floors are in xtask/src/floors.rs",
        faults.join("\n")
    );
    Ok(())
}

/// The Rust files below a folder, with their relative paths.
fn sources(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).with_context(|| format!("reading {}", at.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
                let name = path.strip_prefix(folder)?.to_string_lossy().replace('\\', "/");
                found.push((name, text));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The forbidden imports of a crate, one line each.
fn faults_of(sources: &[(String, String)], floors: &[&[&str]]) -> Result<Vec<String>> {
    let crate_ = Crate::read(sources)?;
    let arrows = crate_.arrows();
    let mut faults = Vec::new();
    for room in crate_.modules.keys().filter_map(|module| module.first()) {
        let line = format!("`{room}` has no floor");
        if floor_of(floors, room).is_none() && !faults.contains(&line) {
            faults.push(line);
        }
    }
    for (from, to) in &arrows {
        let (Some(room), Some(other)) = (from.first(), to.first()) else { continue };
        if room != other && floor_of(floors, room) <= floor_of(floors, other) {
            faults.push(format!("`{}` imports `{}`, which is on no lower floor", from.join("::"), to.join("::")));
        }
    }
    for folder in crate_.modules.keys() {
        if let Some(circle) = circle(&between(folder, &arrows)) {
            faults.push(format!("files import each other in a circle: {}", circle.join(" -> ")));
        }
    }
    Ok(faults)
}

fn floor_of(floors: &[&[&str]], room: &str) -> Option<usize> {
    floors.iter().position(|rooms| rooms.contains(&room))
}

/// The imports between the direct children of a module's folder, and between these and the module's
/// own file.
fn between(folder: &Module, arrows: &BTreeSet<(Module, Module)>) -> BTreeMap<String, BTreeSet<String>> {
    let child = |module: &Module| match module.strip_prefix(folder.as_slice())? {
        [] if folder.is_empty() => None,
        rest => Some(folder.iter().chain(rest.first()).cloned().collect::<Module>().join("::")),
    };
    let mut graph = BTreeMap::<_, BTreeSet<_>>::new();
    for (from, to) in arrows {
        if let (Some(from), Some(to)) = (child(from), child(to))
            && from != to
        {
            graph.entry(from).or_default().insert(to);
        }
    }
    graph
}

/// A cycle in a graph, if it has one; its first node is also the last.
fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    // A node without outgoing edges is not in a cycle; remove such nodes until none is left.
    let mut graph = graph.clone();
    loop {
        let known = graph.keys().cloned().collect::<BTreeSet<_>>();
        let before = graph.values().map(BTreeSet::len).sum::<usize>();
        graph.values_mut().for_each(|to| to.retain(|node| known.contains(node)));
        graph.retain(|_, to| !to.is_empty());
        if graph.values().map(BTreeSet::len).sum::<usize>() == before {
            break;
        }
    }
    let mut way = vec![graph.keys().next()?.clone()];
    loop {
        let next = graph.get(way.last()?)?.first()?.clone();
        if let Some(start) = way.iter().position(|node| *node == next) {
            way.push(next);
            return Some(way.split_off(start));
        }
        way.push(next);
    }
}

/// The files of a crate, except those of tests, with the paths that each contains.
struct Crate {
    modules: BTreeMap<Module, Vec<Named>>,
}

/// A path in a file.
#[derive(Debug)]
struct Named {
    /// The path from the crate's root.
    path: Module,
    /// The local name, if it is an import.
    called: Option<String>,
    /// Whether it is a re-export.
    passed_on: bool,
}

impl Crate {
    fn read(sources: &[(String, String)]) -> Result<Self> {
        let module = |file: &str| {
            let file = file.trim_end_matches(".rs");
            let parts = file.split('/').filter(|part| !matches!(*part, "lib" | "main" | "mod"));
            parts.map(str::to_owned).collect::<Module>()
        };
        let modules = sources.iter().map(|(file, _)| module(file)).collect::<BTreeSet<_>>();
        let (mut read, mut tests) = (BTreeMap::new(), BTreeSet::new());
        for (file, text) in sources {
            let tokens = text.parse::<TokenStream>().map_err(|e| anyhow::anyhow!("{file}: {e}"))?;
            let mut reader = Reader { modules: &modules, named: Vec::new(), tests: &mut tests };
            reader.read(tokens, &module(file), false);
            // The library and the program of a package share their root module.
            read.entry(module(file)).or_insert_with(Vec::new).extend(reader.named);
        }
        read.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        Ok(Self { modules: read })
    }

    /// The imports between files, as pairs of importing and imported module.
    fn arrows(&self) -> BTreeSet<(Module, Module)> {
        let mut arrows = BTreeSet::new();
        for (from, named) in &self.modules {
            for name in named {
                let to = self.home(&name.path, &mut BTreeSet::new());
                // Re-exporting a name of a child module is not a use.
                let passes_on = name.passed_on && to.starts_with(from);
                // The root may import everything; paths to the root are exported macros.
                let has_root = from.is_empty() || to.is_empty();
                if to != *from && !has_root && !passes_on {
                    arrows.insert((from.clone(), to));
                }
            }
        }
        arrows
    }

    /// The module that defines the item at a path, following re-exports.
    fn home(&self, path: &Module, seen: &mut BTreeSet<Module>) -> Module {
        let known = |len: &usize| path.get(..*len).is_some_and(|module| self.modules.contains_key(module));
        let len = (0..=path.len()).rev().find(known).unwrap_or(0);
        let (module, rest) = path.split_at(len);
        let Some(name) = rest.first().filter(|_| seen.insert(path.clone())) else { return module.to_vec() };
        let named = self.modules.get(module).into_iter().flatten();
        let mut imports = named.filter(|named| named.called.as_ref() == Some(name));
        match imports.next() {
            Some(import) => self.home(&import.path.iter().chain(&rest[1..]).cloned().collect(), seen),
            None => module.to_vec(),
        }
    }
}

/// Finds the paths in a file's tokens.
struct Reader<'a> {
    modules: &'a BTreeSet<Module>,
    named: Vec<Named>,
    /// Modules that are compiled for tests only.
    tests: &'a mut BTreeSet<Module>,
}

impl Reader<'_> {
    /// Reads tokens in the module `at`. Inside a macro definition the module is unknown, so `super`
    /// is ignored.
    fn read(&mut self, tokens: TokenStream, at: &Module, in_macro: bool) {
        let tokens = tokens.into_iter().collect::<Vec<_>>();
        let mut i = 0;
        while let Some(token) = tokens.get(i) {
            let word = |n: usize| match tokens.get(n) {
                Some(TokenTree::Ident(word)) => Some(word.to_string()),
                _ => None,
            };
            i += 1;
            match token {
                TokenTree::Punct(mark) if mark.as_char() == '#' && tokens.get(i).is_some_and(is_test) => {
                    let item = &tokens[i..i + item_len(&tokens[i..])];
                    if let [.., keyword, TokenTree::Ident(name), _] = item
                        && is_word(keyword, "mod")
                    {
                        self.tests.insert(at.iter().cloned().chain([name.to_string()]).collect());
                    }
                    i += item.len();
                }
                TokenTree::Group(group) => {
                    // `pub(in path)` is not an import.
                    let restricts = group.stream().into_iter().next().is_some_and(|token| is_word(&token, "in"));
                    if !restricts {
                        self.read(group.stream(), at, in_macro);
                    }
                }
                TokenTree::Ident(first) if first == "mod" => {
                    if let (Some(name), Some(TokenTree::Group(body))) = (word(i), tokens.get(i + 1)) {
                        let inner = at.iter().cloned().chain([name]).collect();
                        self.read(body.stream(), &inner, in_macro);
                        i += 2;
                    }
                }
                TokenTree::Ident(first) if first == "macro_rules" => {
                    if let Some(TokenTree::Group(body)) = tokens.get(i + 2) {
                        self.read(body.stream(), at, true);
                        i += 3;
                    }
                }
                TokenTree::Ident(first) if first == "use" => {
                    let len = tokens[i..].iter().position(|token| is_mark(token, ';')).unwrap_or(0);
                    let before = i.checked_sub(2).and_then(|at| tokens.get(at));
                    let passed_on = before.is_some_and(|token| match token {
                        TokenTree::Group(group) => group.delimiter() == Delimiter::Parenthesis,
                        token => is_word(token, "pub"),
                    });
                    self.import(&tokens[i..i + len], &[], &Place { at, in_macro, passed_on });
                    i += len;
                }
                TokenTree::Ident(_) => {
                    let (path, len) = path(&tokens[i - 1..]);
                    if path.len() > 1 {
                        self.name(&path, None, &Place { at, in_macro, passed_on: false });
                    }
                    i += len - 1;
                }
                _ => {}
            }
        }
    }

    /// Reads the tree of a `use` item below the path `above`.
    fn import(&mut self, tree: &[TokenTree], above: &[String], place: &Place<'_>) {
        for tree in tree.split(|token| is_mark(token, ',')) {
            let (steps, len) = path(tree);
            let whole = above.iter().cloned().chain(steps).collect::<Vec<_>>();
            match tree.get(len) {
                Some(TokenTree::Group(group)) => {
                    self.import(&group.stream().into_iter().collect::<Vec<_>>(), &whole, place);
                }
                Some(token) if is_word(token, "as") => {
                    self.name(&whole, tree.get(len + 1).map(ToString::to_string), place);
                }
                _ if whole.last().is_some_and(|last| last == "self") => {
                    let module = &whole[..whole.len() - 1];
                    self.name(module, module.last().cloned(), place);
                }
                _ => self.name(&whole, whole.last().cloned(), place),
            }
        }
    }

    /// Records a path if it refers to this crate.
    fn name(&mut self, path: &[String], called: Option<String>, place: &Place<'_>) {
        let Some(first) = path.first() else { return };
        let supers = path.iter().take_while(|step| *step == "super").count();
        let child = || place.at.iter().chain([first]).cloned().collect::<Module>();
        let whole: Module = match first.as_str() {
            "crate" => path[1..].to_vec(),
            "self" => place.at.iter().chain(&path[1..]).cloned().collect(),
            "super" if place.in_macro => return,
            "super" => {
                let above = place.at.len().saturating_sub(supers);
                place.at[..above].iter().chain(&path[supers..]).cloned().collect()
            }
            _ if self.modules.contains(&child()) => place.at.iter().chain(path).cloned().collect(),
            _ => return,
        };
        self.named.push(Named { path: whole, called, passed_on: place.passed_on });
    }
}

/// The context of a path.
struct Place<'a> {
    at: &'a Module,
    in_macro: bool,
    passed_on: bool,
}

/// The segments of a path at the beginning of `tokens`, and the number of its tokens.
fn path(tokens: &[TokenTree]) -> (Vec<String>, usize) {
    let (mut words, mut len) = (Vec::new(), 0);
    while let Some(TokenTree::Ident(word)) = tokens.get(len) {
        words.push(word.to_string());
        len += 1;
        let colons = tokens.get(len..len + 2).is_some_and(|marks| marks.iter().all(|token| is_mark(token, ':')));
        if !colons {
            break;
        }
        len += 2;
    }
    (words, len)
}

/// Whether an attribute restricts an item to tests.
fn is_test(brackets: &TokenTree) -> bool {
    let text = brackets.to_string().replace(char::is_whitespace, "");
    text.starts_with("[cfg(test)") || text.starts_with("[cfg(all(test,")
}

/// The number of tokens of an item, up to its body or its semicolon.
fn item_len(tokens: &[TokenTree]) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => is_mark(token, ';'),
    };
    tokens.iter().position(ends).map_or(tokens.len(), |last| last + 1)
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

#[cfg(test)]
mod tests;
