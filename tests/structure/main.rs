//! Compares the table of modules with the sources: modules import only from modules above them in the table of `lib.rs`, and no
//! files import each other in a circle.
//!
//! A `use` or a path that goes through a `mod.rs` counts as an import of the file that defines the name. Unit tests are
//! left out: they may look anywhere. The program, `main.rs` and `cli/`, sees the library from outside, and is held to have no
//! circles of its own.

mod op_names;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

/// One source file.
#[derive(Default)]
struct Source {
    /// Its module path below the crate: `["graph", "edit"]`.
    module: Vec<String>,
    /// Names that it defines.
    defines: BTreeSet<String>,
    /// Names that it re-exports (`pub use`), and their paths.
    passes_on: HashMap<String, Vec<String>>,
    /// Modules that it re-exports whole (`pub use module::*`).
    globs: Vec<Vec<String>>,
    /// Names that it imports for itself, and their paths from the crate root.
    imports: Vec<Vec<String>>,
}

/// The folder of the program's own modules.
const PROGRAM: &str = "cli";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

/// Collects what a file defines and imports.
struct Reader {
    source: Source,
    /// Modules within the file that enclose the current item.
    inner: Vec<String>,
}

impl Reader {
    /// A path as written here, as a path from the crate root; `None` if it leads out of the crate.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let mut base: Vec<String> = self.source.module.clone();
        base.extend(self.inner.iter().cloned());
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    base.pop()?;
                    rest = &rest[1..];
                }
            }
            _ => return None,
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    fn flatten(tree: &UseTree, before: &mut Vec<String>, found: &mut Vec<(Vec<String>, String)>) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                Reader::flatten(&path.tree, before, found);
                before.pop();
            }
            UseTree::Name(name) => {
                let mut path = before.clone();
                let name = name.ident.to_string();
                if name != "self" {
                    path.push(name.clone());
                }
                found.push((path, name));
            }
            UseTree::Rename(rename) => {
                let mut path = before.clone();
                if rename.ident != "self" {
                    path.push(rename.ident.to_string());
                }
                found.push((path, rename.rename.to_string()));
            }
            UseTree::Glob(_) => found.push((before.clone(), "*".to_string())),
            UseTree::Group(group) => {
                for tree in &group.items {
                    Reader::flatten(tree, before, found);
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Mod(item) => (&item.attrs, None),
            Item::Impl(item) => (&item.attrs, None),
            Item::Use(item) => (&item.attrs, None),
            _ => return visit::visit_item(self, item),
        };
        if is_test(attributes) {
            return;
        }
        if self.inner.is_empty() {
            self.source.defines.extend(name.map(ToString::to_string));
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_some() {
            self.inner.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.inner.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut found = Vec::new();
        Reader::flatten(&item.tree, &mut Vec::new(), &mut found);
        let passes_on = !matches!(item.vis, Visibility::Inherited);
        for (path, name) in found {
            // `use child::Name` in a file that declares the child is relative too.
            let path = match path.first().map(String::as_str) {
                Some("crate" | "self" | "super") => path,
                _ => [vec!["self".to_string()], path].concat(),
            };
            let Some(path) = self.absolute(&path) else {
                continue;
            };
            match (passes_on && self.inner.is_empty(), name.as_str()) {
                (true, "*") => self.source.globs.push(path),
                (true, _) => drop(self.source.passes_on.insert(name, path)),
                (false, _) => self.source.imports.push(path),
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if let ["crate" | "self" | "super", _, ..] =
            parts.iter().map(String::as_str).collect::<Vec<_>>()[..]
        {
            self.source.imports.extend(self.absolute(&parts));
        } else if parts.len() > 1 {
            // `child::function()` in a file that declares the child.
            let child = [vec!["self".to_string()], parts].concat();
            self.source.imports.extend(self.absolute(&child));
        }
        visit::visit_path(self, path);
    }
}

/// The files of one crate.
struct Sources {
    /// Files by module path; the path of a program's `main.rs` is empty.
    files: BTreeMap<Vec<String>, (PathBuf, Source)>,
}

impl Sources {
    fn library() -> Sources {
        let mut sources = Sources {
            files: BTreeMap::new(),
        };
        sources.walk(&root(), &mut Vec::new());
        sources
    }

    fn program() -> Sources {
        let mut sources = Sources {
            files: BTreeMap::new(),
        };
        sources.walk(&root().join(PROGRAM), &mut vec![PROGRAM.to_string()]);
        sources.add(root().join("main.rs"), Vec::new());
        sources
    }

    fn walk(&mut self, folder: &Path, module: &mut Vec<String>) {
        let entries = std::fs::read_dir(folder).expect("a readable folder");
        let mut entries: Vec<PathBuf> = entries
            .map(|entry| entry.expect("an entry").path())
            .collect();
        entries.sort();
        for path in entries {
            let stem = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                if module.is_empty() && stem == PROGRAM {
                    continue;
                }
                module.push(stem);
                self.walk(&path, module);
                module.pop();
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !matches!(stem.as_str(), "main" | "lib" | "tests" | "testing")
                && !stem.ends_with("_tests")
            {
                let mut own = module.clone();
                if stem != "mod" {
                    own.push(stem);
                }
                self.add(path, own);
            }
        }
    }

    fn add(&mut self, path: PathBuf, module: Vec<String>) {
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let syntax = syn::parse_file(&text).expect("Rust");
        let mut reader = Reader {
            source: Source {
                module: module.clone(),
                ..Source::default()
            },
            inner: Vec::new(),
        };
        reader.visit_file(&syntax);
        self.files.insert(module, (path, reader.source));
    }

    /// The module whose file defines the item at `path`; `None` if that is not in the sources.
    fn definer(&self, path: &[String], hops: usize) -> Option<Vec<String>> {
        let length = (0..=path.len())
            .rev()
            .find(|&length| self.files.contains_key(&path[..length]))?;
        let (module, rest) = path.split_at(length);
        let (_, source) = &self.files[module];
        let Some(name) = rest.first() else {
            return Some(module.to_vec());
        };
        if source.defines.contains(name) || hops == 0 {
            return Some(module.to_vec());
        }
        if let Some(target) = source.passes_on.get(name) {
            return self.definer(target, hops - 1);
        }
        let mut through = source.globs.iter().filter_map(|glob| {
            let target = [glob.as_slice(), std::slice::from_ref(name)].concat();
            self.definer(&target, hops - 1)
                .filter(|module| self.files[module].1.defines.contains(name))
        });
        through.next()
    }

    /// The files from which each file imports.
    fn imports(&self) -> BTreeMap<&[String], BTreeSet<Vec<String>>> {
        let mut all = BTreeMap::new();
        for (module, (_, source)) in &self.files {
            let paths = source.imports.iter();
            let found = paths.filter_map(|path| self.definer(path, 8));
            let found = found.filter(|other| other != module).collect();
            all.insert(module.as_slice(), found);
        }
        all
    }
}

/// The modules in the order of the table in `lib.rs`.
fn modules() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let text = std::fs::read_to_string(path).expect("lib.rs");
    let table = text
        .lines()
        .skip_while(|line| !line.starts_with("//! | module |"));
    let rows = table.map_while(|line| line.strip_prefix("//! | "));
    let names = rows.filter_map(|row| {
        let name = row.split('`').nth(1)?;
        row.trim_start_matches('[')
            .starts_with('`')
            .then(|| name.to_string())
    });
    names.collect()
}

#[test]
fn every_folder_is_a_module_of_the_table() {
    let modules = modules();
    let folders: BTreeSet<String> = Sources::library()
        .files
        .keys()
        .map(|module| module[0].clone())
        .collect();
    let listed: BTreeSet<String> = modules.iter().cloned().collect();
    assert_eq!(folders, listed, "src/lib.rs lists the modules");
    assert_eq!(modules.len(), listed.len(), "a module is listed twice");
}

#[test]
fn no_module_imports_from_a_module_below_it() {
    let modules = modules();
    let floor = |name: &str| modules.iter().position(|known| known == name);
    let sources = Sources::library();
    let mut upward = Vec::new();
    for (module, (path, source)) in &sources.files {
        for import in &source.imports {
            let Some(other) = sources.definer(import, 8) else {
                continue;
            };
            if floor(&other[0]) > floor(&module[0]) {
                upward.push(format!("{}: {}", path.display(), import.join("::")));
            }
        }
    }
    assert!(upward.is_empty(), "upward imports:\n{}", upward.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let lines: Vec<String> = [Sources::library(), Sources::program()]
        .iter()
        .flat_map(circles)
        .collect();
    assert!(lines.is_empty(), "import circles:\n{}", lines.join("\n"));
}

#[test]
fn the_program_s_files_are_read() {
    let program = Sources::program();
    let imports = program.imports();
    let main = &imports[&[][..]];
    assert!(main.contains(&vec![PROGRAM.to_string()]), "{main:?}");
    assert!(imports.len() > 30, "{} files", imports.len());
}

/// The circles among the files of a crate, each as the imports that close it.
fn circles(sources: &Sources) -> Vec<String> {
    let imports = sources.imports();
    let mut arrows = petgraph::Graph::<&[String], ()>::new();
    let places: BTreeMap<&[String], _> = imports
        .keys()
        .map(|&module| (module, arrows.add_node(module)))
        .collect();
    for (module, to) in &imports {
        for to in to {
            arrows.add_edge(places[module], places[to.as_slice()], ());
        }
    }
    let circles = petgraph::algo::tarjan_scc(&arrows)
        .into_iter()
        .filter(|circle| circle.len() > 1);
    circles
        .map(|circle| {
            let tied = circle.iter().flat_map(|&from| {
                let to = arrows.neighbors(from).filter(|to| circle.contains(to));
                to.map(move |to| (from, to))
            });
            let tied = tied.map(|(from, to)| {
                format!(
                    "  {} -> {}\n",
                    arrows[from].join("::"),
                    arrows[to].join("::")
                )
            });
            tied.collect()
        })
        .collect()
}
