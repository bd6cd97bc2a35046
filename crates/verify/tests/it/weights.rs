//! What the numbers of good weights are, and what a trust policy may waive.

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tensorgate_verify::{Error, Rejection, Result, Rules, Severity, Survey, Surveyed};

use crate::support::{directory, refusal};

fn survey(rules: &Rules, dtype: Dtype, bytes: &[u8]) -> Result<Surveyed> {
    let folder = tempfile::tempdir().unwrap();
    let shape = vec![bytes.len() * 8 / dtype.bitsize()];
    let view = TensorView::new(dtype, shape, bytes).unwrap();
    let file = safetensors::serialize([("gain", view)], None).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), file).unwrap();
    Survey::new(rules).run(&directory(folder.path()))
}

#[test]
fn numbers_that_are_not_finite_are_refused_or_waived() {
    let odd: &[(Dtype, &[u8])] = &[
        (Dtype::F64, &f64::NAN.to_le_bytes()),
        (Dtype::F32, &f32::NEG_INFINITY.to_le_bytes()),
        (Dtype::C64, &[0, 0, 0, 0, 0, 0, 0x80, 0x7f]),
        (Dtype::F16, &[0, 0x7c]),
        (Dtype::BF16, &[0xc0, 0xff]),
        (Dtype::F8_E5M2, &[0x7c]),
        (Dtype::F8_E4M3, &[0x7f]),
        (Dtype::F8_E4M3FNUZ, &[0x80]),
        (Dtype::F8_E5M2FNUZ, &[0x80]),
        (Dtype::F8_E8M0, &[0xff]),
    ];
    let mut waive = Rules::default();
    waive.content.non_finite = Severity::Warn;
    for (dtype, element) in odd {
        // Two good ones, then two odd ones.
        let bytes = [&vec![0x11; 2 * element.len()][..], element, element].concat();
        let refused = survey(&Rules::default(), *dtype, &bytes);
        assert_eq!(refusal(refused), Rejection::WeightsNonFinite, "{dtype}");
        let [notice] = &survey(&waive, *dtype, &bytes).unwrap().notices[..] else {
            panic!("{dtype}: one notice")
        };
        assert_eq!(notice.rejection, Rejection::WeightsNonFinite);
        assert_eq!(&*notice.subject, "model.safetensors#gain");
        assert_eq!(
            &*notice.detail,
            "NaN or infinite: 2 in all, the first at index 2"
        );
        assert!(survey(&Rules::default(), *dtype, &bytes[..2 * element.len()]).is_ok());
    }
    assert!(survey(&Rules::default(), Dtype::I64, &[0xff; 8]).is_ok());
}

#[test]
fn truth_values_are_0_or_1_whatever_the_trust_policy_waives() {
    let mut waive = Rules::default();
    waive.content.non_finite = Severity::Warn;
    assert_eq!(
        refusal(survey(&waive, Dtype::BOOL, &[0, 1, 2])),
        Rejection::TensorBoolInvalid
    );
    assert!(survey(&waive, Dtype::BOOL, &[0, 1]).is_ok());
}

#[test]
fn a_trust_policy_names_the_element_types() {
    let mut rules = Rules::default();
    rules.content.dtypes = Some(vec![Dtype::F32, Dtype::I64]);
    assert!(survey(&rules, Dtype::F32, &[0; 4]).is_ok());
    assert_eq!(
        refusal(survey(&rules, Dtype::U8, &[0])),
        Rejection::TensorDtypeForbidden
    );
}

#[test]
fn a_flood_of_findings_is_counted_not_listed() {
    let names: Vec<String> = (0..1_500).map(|i| format!("t{i}")).collect();
    let view = || TensorView::new(Dtype::BOOL, vec![1], &[2]).unwrap();
    let file = safetensors::serialize(names.iter().map(|name| (name, view())), None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.safetensors"), file).unwrap();
    let error = Survey::new(&Rules::default())
        .run(&directory(folder.path()))
        .unwrap_err();
    let Error::Rejected(all) = error else {
        panic!("{error}")
    };
    assert_eq!(all.iter().count(), 1_000);
    let last = all.iter().last().unwrap();
    assert!(
        last.detail.ends_with("(and 500 more, not listed)"),
        "{last}"
    );
}
