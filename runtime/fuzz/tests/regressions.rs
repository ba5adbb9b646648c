//! Every scenario that once broke a rule keeps it now.

use attune_runtime_fuzz::{
    run::{run, Report},
    scenario::Scenario,
};
use std::{fs, path::Path};

#[test]
fn no_regression_comes_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the folder is in the repository")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "steps"))
        .collect();
    files.sort();
    for file in files {
        let content = fs::read(&file).expect("the file can be read");
        let scenario =
            Scenario::from_file(&content).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if let Err(broken) = run(&scenario, &mut Report::default(), &mut ()) {
            panic!("{}: {broken}", file.display());
        }
    }
}
