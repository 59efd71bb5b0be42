//! What is hidden: columns, patches, tokens.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::{Indices, Tensor};
use tl_ssl::{Columns, HidePatches, MaskTokens, SwapColumns, patchify};

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0)
}

#[test]
fn columns_are_swapped_within_columns() {
    let x = Tensor::arange(0.0, 40.0, 1.0).unwrap().reshape([10, 4]).unwrap();
    let columns = Columns::numbers(4);
    let (y, mask) = SwapColumns { part: 0.5 }.corrupt(&x, &columns, &mut rng()).unwrap();
    for (i, (y, m)) in y.to_vec().iter().zip(mask.to_vec()).enumerate() {
        assert_eq!(*y as usize % 4, i % 4);
        assert!(m == 1.0 || *y as usize == i);
    }
    assert_eq!(mask.sum(1, false).unwrap().to_vec(), [2.0; 10]);
    assert!(SwapColumns { part: 2.0 }.corrupt(&x, &columns, &mut rng()).is_err());
    assert!(SwapColumns::default().corrupt(&x, &Columns::numbers(5), &mut rng()).is_err());
}

#[test]
fn a_category_is_swapped_as_a_whole() {
    let columns = Columns::of_names(&["size", "a=x", "a=y", "a=z", "b=x", "b=y", "weight", "="]);
    assert_eq!(columns.iter().collect::<Vec<_>>(), [0..1, 1..4, 4..6, 6..7, 7..8]);
    assert_eq!(columns.features(), 8);
    // Every row has one category of each kind, so has every changed row.
    let mut rows = Vec::new();
    for i in 0..60_usize {
        let mut row = [0.0; 8];
        (row[0], row[6]) = (i as f32, -(i as f32));
        (row[1 + i % 3], row[4 + i % 2]) = (1.0, 1.0);
        rows.extend(row);
    }
    let x = Tensor::from_vec(rows, [60, 8]).unwrap();
    let (y, mask) = SwapColumns::default().corrupt(&x, &columns, &mut rng()).unwrap();
    assert_eq!(mask.dims(), [60, 5]);
    for row in y.to_vec().chunks(8) {
        assert_eq!(row[1..4].iter().sum::<f32>(), 1.0);
        assert_eq!(row[4..6].iter().sum::<f32>(), 1.0);
    }
    assert_ne!(x.to_vec(), y.to_vec());
}

#[test]
fn patches_hold_channels_last() {
    let x = Tensor::arange(0.0, 2.0 * 3.0 * 4.0 * 6.0, 1.0).unwrap().reshape([2, 3, 4, 6]).unwrap();
    let patches = patchify(&x, 2).unwrap();
    assert_eq!(patches.dims(), [2, 6, 12]);
    // Patch 4 is row 1, column 1; its pixel (1, 0) of channel 2 is place 8.
    let want = 2 * 24 + 3 * 6 + 2;
    assert_eq!(patches.to_vec()[4 * 12 + 2 * 3 + 2], want as f32);
    assert!(patchify(&x, 4).unwrap_err().to_string().contains("multiples"));
}

#[test]
fn blank_hides_whole_patches() {
    let x = Tensor::ones([5, 2, 8, 8]);
    let (seen, mask) = HidePatches { patch: 2, part: 0.75 }.blank(&x, &mut rng()).unwrap();
    let (seen, mask) = (patchify(&seen, 2).unwrap(), patchify(&mask, 2).unwrap());
    for (seen, mask) in seen.to_vec().chunks(8).zip(mask.to_vec().chunks(4)) {
        assert!(mask.iter().all(|m| *m == mask[0]));
        assert!(seen.iter().all(|s| *s == 1.0 - mask[0]));
    }
    assert_eq!(mask.sum_all().item().unwrap(), 5.0 * 12.0 * 4.0);
    assert!(HidePatches { patch: 2, part: 1.0 }.blank(&x, &mut rng()).is_err());
    assert!(HidePatches { patch: 8, part: 0.5 }.blank(&x, &mut rng()).is_err());
}

#[test]
fn tokens_are_masked_as_in_bert() {
    let tokens: Indices = (0..10_000).map(|i| 5 + i % 90).collect::<Vec<_>>().into();
    let masked = MaskTokens::new(100, 4, [5, 6]).apply(&tokens, &mut rng()).unwrap();
    let (now, places) = (masked.tokens.as_slice(), masked.places.as_slice());
    let share = |n: usize| n as f64 / places.len() as f64;
    assert!((places.len() as f64 / 9_780.0 - 0.15).abs() < 0.015, "{}", places.len());
    let of_mask = share(places.iter().filter(|&&i| now[i] == 4).count());
    let kept = share(places.iter().filter(|&&i| now[i] == tokens.as_slice()[i]).count());
    assert!((of_mask - 0.8).abs() < 0.04 && (kept - 0.1).abs() < 0.03, "{of_mask} {kept}");
    for (i, was) in tokens.as_slice().iter().enumerate() {
        match places.iter().position(|p| *p == i) {
            Some(at) => assert!(masked.targets.as_slice()[at] == *was && *was > 6),
            None => assert_eq!(now[i], *was),
        }
    }
    // A short text has one at least; padding alone has none.
    let one = MaskTokens { part: 0.0, ..MaskTokens::new(100, 4, [0]) };
    assert_eq!(one.apply(&vec![0, 9, 0].into(), &mut rng()).unwrap().places.as_slice(), [1]);
    assert!(one.apply(&vec![0, 0].into(), &mut rng()).is_err());
    assert!(one.apply(&vec![100].into(), &mut rng()).unwrap_err().to_string().contains("below"));
}
