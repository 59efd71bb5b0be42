//! A worker process: our side, the PyTorch twins, or the Rust twins.

use crate::Outcome;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A running worker. It ends with this value.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// What it says of itself, such as the version of PyTorch.
    pub version: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    version: String,
    digests: Vec<[f64; 2]>,
    seconds: f64,
    mib: f64,
    error: Option<String>,
}

impl Worker {
    /// Our side: this very program with `--serve`.
    ///
    /// # Errors
    /// It does not start.
    pub fn ours() -> Outcome<Self> {
        Self::start(Command::new(std::env::current_exe()?).arg("--serve"), "our own worker")
    }

    /// The twins of a Python interpreter.
    ///
    /// # Errors
    /// It does not start, or has no PyTorch.
    pub fn python(python: &str) -> Outcome<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/twins/worker.py");
        Self::start(Command::new(python).arg(script), python)
    }

    /// The twins of a program that speaks the protocol.
    ///
    /// # Errors
    /// It does not start.
    pub fn program(path: &Path) -> Outcome<Self> {
        Self::start(&mut Command::new(path), &path.display().to_string())
    }

    fn start(command: &mut Command, name: &str) -> Outcome<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("`{name}` does not start: {e}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the worker has no input or output".into());
        };
        let output = BufReader::new(output);
        let mut worker = Self { child, input, output, version: String::new() };
        worker.version = worker.answer()?.version;
        Ok(worker)
    }

    fn answer(&mut self) -> Outcome<Answer> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("the worker ended by itself; its last words are above".into());
        }
        let answer: Answer = serde_json::from_str(&line).map_err(|e| format!("{e}: {line}"))?;
        match answer.error {
            Some(error) => Err(error.into()),
            None => Ok(answer),
        }
    }

    fn ask(&mut self, request: &Value) -> Outcome<Answer> {
        writeln!(self.input, "{request}")?;
        self.input.flush()?;
        self.answer()
    }

    /// Makes a workload; what its first runs gave.
    ///
    /// # Errors
    /// It does not have the workload or what that needs, or fails.
    pub fn setup(
        &mut self,
        workload: &str,
        variant: &str,
        threads: usize,
    ) -> Outcome<Vec<[f64; 2]>> {
        let request = json!({"setup": workload, "variant": variant, "threads": threads});
        Ok(self.ask(&request)?.digests)
    }

    /// Seconds for so many runs.
    ///
    /// # Errors
    /// The worker fails.
    pub fn run(&mut self, iterations: usize) -> Outcome<f64> {
        Ok(self.ask(&json!({"run": iterations}))?.seconds)
    }

    /// Ends the workload; a worker of Python is then ready for another one.
    ///
    /// # Errors
    /// The workload's process failed.
    pub fn release(&mut self) -> Outcome {
        self.ask(&json!({"done": true})).map(drop)
    }

    /// The most memory that the workload held beyond what the process had
    /// before it, MiB.
    ///
    /// # Errors
    /// The worker fails.
    pub fn memory(&mut self) -> Outcome<f64> {
        Ok(self.ask(&json!({"memory": true}))?.mib)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = writeln!(self.input, "{}", json!({"quit": true}));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
