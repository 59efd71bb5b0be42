//! Ways to solve a task: one is chosen on validation parts and judged on test
//! parts, which have no say in the choice.

use super::{Outcome, args::Args, bar, rows::Row, table::Table};
use indicatif::ProgressBar;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use transfer_learning::{
    data::Dataset,
    nn::metric::{Trials, accuracy},
    prelude::*,
};

/// Three parts of a data set, drawn by a seed: 60, 20 and 20 of 100 rows.
pub struct Parts {
    /// Whatever learns, learns from this.
    pub train: Dataset,
    /// For the choice.
    validation: Dataset,
    /// For the verdict.
    test: Dataset,
}

/// The accuracy of several ways on both parts.
pub struct Choice {
    validation: Trials,
    test: Trials,
    bar: ProgressBar,
}

impl Choice {
    /// Of so many `ways`, over the seeds of `args`.
    pub fn new(name: &str, ways: usize, args: &Args) -> Self {
        let trials = || Trials::new(name, "accuracy");
        let bar = bar::over(args.seeds() as usize * ways);
        Self { validation: trials(), test: trials(), bar }
    }

    /// The parts of a seed. The first way of each seed is the most frequent class.
    pub fn parts(&mut self, data: &Dataset, seed: u64) -> Outcome<Parts> {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (rest, test) = data.split(0.8, rng)?;
        let (train, validation) = rest.split(0.75, rng)?;
        let counts = train.class_counts()?;
        let common = (0..counts.len()).max_by_key(|&class| counts[class]).unwrap_or(0);
        for (trials, part) in [(&mut self.validation, &validation), (&mut self.test, &test)] {
            let right = part.labels()?.iter().filter(|&&label| label == common).count();
            trials.push("most frequent class", right as f64 / part.len() as f64, 0.0);
        }
        Ok(Parts { train, validation, test })
    }

    /// A way: `fit` learns from the training part what gives the logits of any part.
    pub fn measure<F>(
        &mut self,
        name: &str,
        parts: &Parts,
        fit: impl FnOnce(&Dataset) -> Outcome<F>,
    ) -> Outcome
    where
        F: Fn(&Dataset) -> Outcome<Tensor>,
    {
        self.bar.set_message(name.to_owned());
        let start = Instant::now();
        let logits = fit(&parts.train)?;
        let seconds = start.elapsed().as_secs_f64();
        let both = [(&mut self.validation, &parts.validation), (&mut self.test, &parts.test)];
        for (trials, part) in both {
            trials.push(name, accuracy(&logits(part)?, &part.labels()?.into())?, seconds);
        }
        self.bar.inc(1);
        Ok(())
    }

    /// Prints what was seen; the way that the validation parts choose.
    pub fn print(&self) -> Outcome<&str> {
        self.bar.finish_and_clear();
        let best = self.validation.best()?.name.as_str();
        let mut table = Table::new(["way", "validation", "test", "seconds/seed"]);
        for way in &self.test.ways {
            let chosen = if way.name == best { "validation chose this" } else { "" };
            table.row([
                format!("{} {chosen}", way.name).trim().to_owned(),
                self.validation.summary(&way.name)?.to_string(),
                self.test.summary(&way.name)?.to_string(),
                format!("{:.2}", way.seconds.iter().sum::<f64>() / way.seconds.len() as f64),
            ]);
        }
        table.print();
        Ok(best)
    }

    /// The test results of a way beside the most frequent class.
    pub fn row(&self, way: &str) -> Outcome<Row> {
        Row::of(&self.test.data, &self.test, way)
    }
}
