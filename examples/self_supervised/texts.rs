//! Messages of 20 Newsgroups: MiniLM as it is, and after SimCSE on unlabelled ones.

use crate::{
    judge::{Scaled, probe},
    shared::{Outcome, texts::messages},
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeSet, path::Path, time::Instant};
use transfer_learning::{
    data::Dataset,
    models::{Bert, SentenceEmbedder, TextBatch, TextModel},
    nn::{Ctx, ModuleExt, metric::Trials},
    ssl::SimCse,
    tensor::Tensor,
};

/// Tokens of a message at most.
const LONGEST: usize = 48;
/// Messages without labels, for testing, and for embedding at once.
const UNLABELLED: usize = 4000;
const TESTED: usize = 1000;
const PART: usize = 64;
/// Labels a group.
pub const SHOTS: [usize; 3] = [1, 5, 20];

/// An encoder and messages as its tokens.
pub struct Groups {
    bert: Bert,
    pad: usize,
    train: Dataset,
    test: Dataset,
}

impl Groups {
    /// Reads the encoder and the messages.
    pub fn open(model: &Path, data: &Path, quick: bool) -> Outcome<Self> {
        let embedder = SentenceEmbedder::from_folder(model)?;
        let folder = data.join("20newsgroups");
        let mut parts = [messages(&folder.join("train.tsv"))?, messages(&folder.join("test.tsv"))?];
        let names: BTreeSet<String> = parts[0].iter().map(|m| m.group.clone()).collect();
        let names: Vec<String> = names.into_iter().collect();
        let pad = embedder.tokenizer.pad_id();
        let most = if quick { [200, 100] } else { [UNLABELLED, TESTED] };
        let mut sets = Vec::new();
        for (messages, most) in parts.iter_mut().zip(most) {
            messages.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
            let (mut tokens, mut labels) = (Vec::new(), Vec::new());
            for message in messages.iter().take(most) {
                let Some(label) = names.iter().position(|name| *name == message.group) else {
                    continue;
                };
                tokens.push(embedder.tokenizer.encode(&message.text, LONGEST));
                labels.push(label);
            }
            let ids = TextBatch::to_tensor(&tokens, pad)?;
            sets.push(Dataset::classification(ids, labels, names.clone())?);
        }
        let [train, test] = <[Dataset; 2]>::try_from(sets).map_err(|_| "two sets")?;
        let mut bert = embedder.model;
        // The mean over tokens, which is trained here, does not use it.
        bert.freeze("pooler.**")?;
        Ok(Self { bert, pad, train, test })
    }

    /// One seed: other labels, another order and other dropout.
    pub fn run(&self, shots: &[usize], seed: u64, all: &mut [Trials]) -> Outcome {
        let few: Vec<Dataset> = shots
            .iter()
            .map(|&k| Ok(self.train.k_shot(k, &mut ChaCha8Rng::seed_from_u64(seed))?.0))
            .collect::<Outcome<_>>()?;
        self.judge("MiniLM + logistic", &self.bert, &few, all, Instant::now())?;
        let start = Instant::now();
        let mut bert = self.bert.clone();
        let texts = self.tokens()?;
        let pad = self.pad;
        let embed = |bert: &Bert, texts: &[&[usize]], cx: &mut Ctx| {
            bert.features(&TextBatch::padded(texts, pad)?, cx)
        };
        SimCse::new().seed(seed).fit(&mut bert, &texts, embed)?;
        self.judge("SimCSE + logistic", &bert, &few, all, start)
    }

    fn judge(
        &self,
        name: &str,
        bert: &Bert,
        few: &[Dataset],
        all: &mut [Trials],
        start: Instant,
    ) -> Outcome {
        let bert = bert.frozen();
        let features = |ids: &Tensor| -> Outcome<Tensor> {
            let n = ids.dims()[0];
            let mut all = Vec::new();
            for from in (0..n).step_by(PART) {
                let part = ids.narrow(0, from, PART.min(n - from))?;
                let batch = TextBatch::from_tensor(&part, self.pad)?;
                all.push(bert.features(&batch, &mut Ctx::eval())?);
            }
            Ok(Tensor::cat(&all.iter().collect::<Vec<_>>(), 0)?)
        };
        let scaled = Scaled::new(&features, self.train.features())?;
        let unseen = scaled.of(self.test.features())?;
        for (few, trials) in few.iter().zip(all) {
            let reached = probe(few, &self.test, &scaled, &unseen)?;
            trials.push(name, reached, start.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// The unlabelled messages, without what fills them up.
    fn tokens(&self) -> Outcome<Vec<Vec<usize>>> {
        let ids = self.train.features();
        let width = ids.dims()[1];
        let own = |row: &[f32]| -> Vec<usize> {
            row.iter().map(|&id| id as usize).filter(|&id| id != self.pad).collect()
        };
        Ok(ids.to_vec().chunks(width).map(own).collect())
    }
}
