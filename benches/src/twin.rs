//! A worker process that runs the PyTorch twins.

use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Error, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A running worker.
#[derive(Debug)]
pub struct Twin {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The version of PyTorch.
    pub version: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    torch: String,
    seconds: f64,
    error: Option<String>,
}

impl Twin {
    /// Starts `python` with the worker.
    ///
    /// # Errors
    /// It does not start, or has no PyTorch.
    pub fn start(python: &str) -> Result<Self, Error> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/torch_bench.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Error::other(format!("`{python}` does not start: {e}")))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::other("the worker has no input or output"));
        };
        let output = BufReader::new(output);
        let mut twin = Self { child, input, output, version: String::new() };
        twin.version = twin.answer()?.torch;
        Ok(twin)
    }

    fn answer(&mut self) -> Result<Answer, Error> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(Error::other("the worker ended; has this Python PyTorch installed?"));
        }
        let answer: Answer = serde_json::from_str(&line)?;
        match answer.error {
            Some(error) => Err(Error::other(error)),
            None => Ok(answer),
        }
    }

    fn ask(&mut self, request: &Value) -> Result<Answer, Error> {
        writeln!(self.input, "{request}")?;
        self.input.flush()?;
        self.answer()
    }

    /// Makes a workload.
    ///
    /// # Errors
    /// The twin does not have it, or fails.
    pub fn setup(&mut self, workload: &str, variant: &str, threads: usize) -> Result<(), Error> {
        self.ask(&json!({"setup": workload, "variant": variant, "threads": threads})).map(drop)
    }

    /// Seconds for so many runs of it.
    ///
    /// # Errors
    /// The twin fails.
    pub fn run(&mut self, iterations: usize) -> Result<f64, Error> {
        Ok(self.ask(&json!({"run": iterations}))?.seconds)
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = writeln!(self.input, "{}", json!({"quit": true}));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
