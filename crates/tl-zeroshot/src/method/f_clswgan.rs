//! Features generated from signatures by an adversarial network.

use super::{
    Compatibility, Method,
    generate::{Generated, Generator},
    gradient_penalty,
    real::RealClasses,
    scale::Range,
};
use crate::{Error, Result, Seen, semantics::unit_rows, split::matrix};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_data::{Batching, Dataset};
use tl_nn::{
    Adam, CrossEntropy, Ctx, Forward, Indices, Linear, ModuleExt, Optimizer, Tensor, module,
    shallow::LogisticRegression,
};

/// f-CLSWGAN (Xian et al. 2018, eq. 1 to 4): a generator `G(z, s)` of features,
/// a critic `D(x, s)`, and a softmax classifier that learned the seen classes
/// before and stays as it is. What is played for:
/// ```text
/// min_G max_D  E[D(x, s)] - E[D(x̃, s)] - λ E[(|∇_x̂ D(x̂, s)|₂ - 1)²]   eq. 1
///              - β E[ln p(y | x̃)],   x̃ = G(z, s),  z ~ N(0, I)         eq. 2, 3
/// ```
/// Then a softmax classifier learns from the samples of seen classes and from
/// generated ones of the others ([`Compatibility::scores`] has logarithms of its
/// probabilities).
///
/// As in the authors' code: features scaled to 0 to 1 by the seen classes, one
/// hidden layer with a leaky ReLU of slope 0.2, a ReLU at the end of the
/// generator, Adam with `β₁` 0.5, five steps of the critic for one of the
/// generator. Not as there: signatures have length 1, and a generator's step
/// takes the batch of the critic's last step. Features of which negative numbers
/// are the point lose nothing: the scale moves the smallest to 0. A feature of an
/// unseen class that is below all of the seen ones cannot be generated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FClsWgan {
    /// Numbers of the noise `z`. Default 16 (the authors: as many as attributes).
    pub noise: usize,
    /// Units of the hidden layers. Default 256 (the authors: 4,096 for 2,048
    /// features).
    pub hidden: usize,
    /// `λ`, the weight of the gradient penalty. Default 10.
    pub penalty: f32,
    /// `β`, the weight of the classification loss. Default 0.01.
    pub classification: f32,
    /// Steps of the critic for one of the generator. Default 5.
    pub critic_steps: usize,
    /// Samples generated for each class that is not seen. Default 200 (the
    /// authors: 300 to 1,800).
    pub samples: usize,
    /// Steps of the generator. Default 1,000 (the authors: some 10,000).
    pub steps: usize,
    /// Samples of a step. Default 64.
    pub batch: usize,
    /// The rate of Adam. Default 3e-4 (the authors: 1e-4, for many more steps).
    pub lr: f32,
    /// What all randomness is drawn from. Default 0.
    pub seed: u64,
}

impl Default for FClsWgan {
    fn default() -> Self {
        Self {
            noise: 16,
            hidden: 256,
            penalty: 10.0,
            classification: 0.01,
            critic_steps: 5,
            samples: 200,
            steps: 1000,
            batch: 64,
            lr: 3e-4,
            seed: 0,
        }
    }
}

const SLOPE: f32 = 0.2;

/// Two layers with a leaky ReLU between, on two inputs side by side.
#[derive(Clone, Debug)]
struct Conditional {
    fc1: Linear,
    fc2: Linear,
}
module!(Conditional { fc1, fc2 });

impl Conditional {
    fn new(inputs: usize, hidden: usize, outputs: usize, rng: &mut dyn RngCore) -> Self {
        Self { fc1: Linear::new(inputs, hidden, rng), fc2: Linear::new(hidden, outputs, rng) }
    }

    fn apply(&self, x: &Tensor, s: &Tensor) -> tl_nn::Result<Tensor> {
        let cx = &mut Ctx::eval();
        let hidden = self.fc1.forward(&Tensor::cat(&[x, s], 1)?, cx)?.leaky_relu(SLOPE);
        self.fc2.forward(&hidden, cx)
    }
}

/// The generator, its critic, and the classifier of seen classes.
struct Game<'a> {
    settings: &'a FClsWgan,
    generator: Conditional,
    critic: Conditional,
    classifier: Linear,
    critic_rule: Optimizer,
    generator_rule: Optimizer,
    rng: ChaCha8Rng,
}

impl Game<'_> {
    fn fake(&mut self, s: &Tensor) -> Result<Tensor> {
        let z = Tensor::randn([s.size(0)?, self.settings.noise], &mut self.rng);
        Ok(self.generator.apply(&z, s)?.relu())
    }

    /// Minus the objective of eq. 1 on a batch, stepped down by the critic.
    fn critic_step(&mut self, x: &Tensor, s: &Tensor) -> Result<()> {
        let fake = self.fake(s)?.detach();
        let mix = Tensor::uniform([x.size(0)?, 1], 0.0, 1.0, &mut self.rng);
        let critic = &self.critic;
        let gap = critic.apply(&fake, s)?.mean_all().sub(&critic.apply(x, s)?.mean_all())?;
        let penalty = gradient_penalty(|x| Ok(critic.apply(x, s)?), x, &fake, &mix)?;
        let loss = gap.add(&penalty.mul_scalar(self.settings.penalty))?;
        self.critic_rule.step(&mut self.critic, &loss.backward()?)?;
        Ok(())
    }

    fn generator_step(&mut self, s: &Tensor, labels: &Indices) -> Result<()> {
        let fake = self.fake(s)?;
        // The critic as a constant: this trains the generator alone.
        let judge = self.critic.map_params(|_, p| Ok(p.detach()))?;
        let fooling = judge.apply(&fake, s)?.mean_all().neg();
        let logits = self.classifier.forward(&fake, &mut Ctx::eval())?;
        let known = CrossEntropy::new().loss(&logits, labels)?;
        let loss = fooling.add(&known.mul_scalar(self.settings.classification))?;
        self.generator_rule.step(&mut self.generator, &loss.backward()?)?;
        Ok(())
    }
}

#[derive(Debug)]
struct Features {
    generator: Conditional,
    range: Range,
    real: RealClasses,
    noise: usize,
    samples: usize,
}

impl Generator for Features {
    fn generate(&self, signature: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        if let Some(own) = self.real.find(signature) {
            return Ok(own.clone());
        }
        let s = unit_rows(signature)?;
        let s = s.broadcast_to([self.samples, s.size(1)?])?;
        let z = Tensor::randn([self.samples, self.noise], rng);
        Ok(self.generator.apply(&z, &s)?.relu())
    }

    fn embed(&self, x: &Tensor) -> Result<Tensor> {
        self.range.apply(x)
    }
}

impl FClsWgan {
    fn check(&self) -> Result<()> {
        for (name, value) in [
            ("noise", self.noise),
            ("hidden", self.hidden),
            ("critic_steps", self.critic_steps),
            ("samples", self.samples),
            ("steps", self.steps),
        ] {
            if value == 0 {
                return Err(Error::argument("f-CLSWGAN", name, 0, "at least 1"));
            }
        }
        for (name, value) in [("penalty", self.penalty), ("classification", self.classification)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::argument("f-CLSWGAN", name, value, "a number from 0"));
            }
        }
        super::check_rate("f-CLSWGAN", self.lr)
    }

    fn rule(&self) -> Optimizer {
        Optimizer::new(Adam { beta1: 0.5, ..Adam::new(self.lr) })
    }
}

impl Method for FClsWgan {
    fn name(&self) -> &'static str {
        "f-CLSWGAN"
    }

    /// Players take turns, so there is no single loss for a
    /// [`Trainer`](tl_nn::Trainer).
    fn fit(&self, seen: &Seen) -> Result<Box<dyn Compatibility>> {
        self.check()?;
        matrix("f-CLSWGAN", seen.features())?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let range = Range::of(seen.features())?;
        let x = range.apply(seen.features())?;
        let signatures = unit_rows(seen.signatures().table())?;
        let (d, a) = (x.size(1)?, signatures.size(1)?);
        let classifier = LogisticRegression::new().fit(&x, seen.labels(), seen.classes())?.head;
        let mut game = Game {
            settings: self,
            generator: Conditional::new(self.noise + a, self.hidden, d, &mut rng),
            critic: Conditional::new(d + a, self.hidden, 1, &mut rng),
            classifier: classifier.map_params(|_, p| Ok(p.detach()))?,
            critic_rule: self.rule(),
            generator_rule: self.rule(),
            rng,
        };
        let names = seen.signatures().names().to_vec();
        let data = Dataset::classification(x.clone(), seen.labels().to_vec(), names)?;
        let loader = data.batches(Batching::new(self.batch).shuffled(self.seed))?;
        let batches = (0..).flat_map(|epoch| loader.epoch(epoch));
        for (step, batch) in (1..=self.steps * self.critic_steps).zip(batches) {
            let batch = batch?;
            let labels = batch.labels()?;
            let s = signatures.index_select(0, labels)?;
            game.critic_step(&batch.features, &s)?;
            if step % self.critic_steps == 0 {
                game.generator_step(&s, labels)?;
            }
        }
        let real = RealClasses::of(seen, &x)?;
        let (noise, samples) = (self.noise, self.samples);
        let generator = Features { generator: game.generator, range, real, noise, samples };
        Ok(Box::new(Generated::new(generator, self.seed)))
    }
}
