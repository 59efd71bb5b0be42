//! Tasks to practise on and tasks of unseen classes.

use crate::shared::Outcome;
use transfer_learning::{
    data::{Dataset, samples},
    maml::{Tasks, split_classes},
};

pub struct Source {
    pub way: usize,
    /// Every sample of the classes to practise on.
    pub practice: Dataset,
    pub train: Tasks,
    pub test: Tasks,
    /// Tasks of another kind of image altogether.
    pub elsewhere: Tasks,
}

impl Source {
    /// Five garments to practise on and five others to be tested on, which
    /// change with the seed; and handwritten digits.
    pub fn garments(shot: usize, seed: u64) -> Outcome<Self> {
        let (first, second) = samples::fashion_mnist();
        let parts = split_classes(&first.concat(&second)?, &[5, 5], seed)?;
        let tasks = |data: &Dataset, query: usize| -> Outcome<Tasks> {
            Ok(Tasks::from_labels(data)?.way(5).shot(shot).query(query))
        };
        Ok(Self {
            way: 5,
            train: tasks(&parts[0], 10)?,
            test: tasks(&parts[1], 15)?,
            elsewhere: tasks(&samples::mnist().1, 15)?,
            practice: parts[0].clone(),
        })
    }
}
