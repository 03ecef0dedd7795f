//! Drawing a study: who is a target, who a source, and which answers are certain.
//!
//! Targets and source triplets are balanced by gender. A picture has one part only, and so has a person where the
//! list knows who is who; the exception is the dummy, which shows one person twice. Faces with glasses or a hat,
//! minors, and faces that the caller's check turns down are passed over. The same seed draws the same study.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rand_chacha::ChaCha20Rng;

use super::face_list::{ADULT_FROM_YEARS, FaceEntry, FaceList, Pick};
use super::relative_to;
use super::{MAX_SAMPLES, Override, Place, Rules, Sample, SampleKind, Side, SourceTriplet, Study, Target, Variant};
use perface::draw::{Seed, below, shuffle};
use perface::error::{Error, Result};
use perface::pool::Gender;

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct DesignOptions {
    /// How many targets; the paper's 80. Half are male; of an odd number one more is female.
    pub targets: usize,
    /// How many source triplets; the paper's 80.
    pub triplets: usize,
    /// Lay faces only on targets of the same gender. The paper's 6 400 samples are across genders too.
    pub same_gender: bool,
    /// How many dummies.
    pub dummies: usize,
    /// How many practice questions.
    pub practice: usize,
    /// Faces turned farther to the side are passed over, in degrees, where the list knows.
    pub max_yaw_deg: f32,
    /// Seed of all draws, also of the order of questions.
    pub seed: u64,
    /// How the study is run.
    pub rules: Rules,
}

impl Default for DesignOptions {
    fn default() -> Self {
        Self {
            targets: 80,
            triplets: 80,
            same_gender: false,
            dummies: 20,
            practice: 3,
            max_yaw_deg: 30.0,
            seed: 1,
            rules: Rules::default(),
        }
    }
}

/// Why faces were passed over, and how many.
pub type PassedOver = HashMap<String, usize>;

/// Draw a study from `targets` and `sources`, which may be one list. `picks` are taken as they are; if there are any,
/// they are all the targets and triplets. `check` is asked about each face before it is taken: a reason turns it down.
/// Pictures are named as seen from `folder`, an absolute path.
///
/// # Errors
/// [`Error::Usage`] if there are too few faces, a pick is unknown or incomplete, or the study would be too large; and
/// whatever `check` fails with.
pub fn design(
    targets: &FaceList,
    sources: &FaceList,
    picks: &[Pick],
    options: &DesignOptions,
    folder: &Path,
    check: &mut dyn FnMut(&Path) -> Result<Option<String>>,
) -> Result<(Study, PassedOver)> {
    options.rules.check()?;
    if options.targets.saturating_mul(options.triplets) > MAX_SAMPLES {
        return Err(Error::Usage(format!("a study has at most {MAX_SAMPLES} samples")));
    }
    let mut drawer = Drawer {
        seed: Seed::new(options.seed.into()),
        max_yaw_deg: options.max_yaw_deg,
        folder,
        used: HashSet::new(),
        people: HashSet::new(),
        passed_over: PassedOver::new(),
        check,
    };
    let (mut chosen_targets, mut chosen_triplets) = (Vec::new(), Vec::new());
    if picks.is_empty() {
        for gender in balanced(options.targets) {
            let image = drawer.face(targets, gender, "target")?;
            chosen_targets.push(Target { id: id('t', chosen_targets.len()), image, gender });
        }
        for gender in balanced(options.triplets) {
            let [c, a, b] = [(); 3].map(|()| drawer.face(sources, gender, "source"));
            let id = id('s', chosen_triplets.len());
            chosen_triplets.push(SourceTriplet { id, c: c?, a: a?, b: b?, gender, variant: None });
        }
    } else {
        (chosen_targets, chosen_triplets) = drawer.picked(targets, sources, picks)?;
    }
    let mut samples = Vec::with_capacity(chosen_targets.len() * chosen_triplets.len());
    for target in &chosen_targets {
        for triplet in chosen_triplets.iter().filter(|s| !options.same_gender || s.gender == target.gender) {
            samples.push(Sample {
                id: format!("{}-{}", target.id, triplet.id),
                target_id: target.id.clone(),
                triplet_id: triplet.id.clone(),
                kind: SampleKind::Real,
                correct: None,
            });
        }
    }
    for (kind, letter, count) in
        [(SampleKind::Practice, 'p', options.practice), (SampleKind::Dummy, 'd', options.dummies)]
    {
        for (index, gender) in balanced(count).into_iter().enumerate() {
            let (triplet, correct) = drawer.certain(sources, gender, id(letter, index))?;
            let target = drawer.target_of(&chosen_targets, gender, &triplet.id)?;
            samples.push(Sample {
                id: format!("{}-{}", target.id, triplet.id),
                target_id: target.id.clone(),
                triplet_id: triplet.id.clone(),
                kind,
                correct: Some(correct),
            });
            chosen_triplets.push(triplet);
        }
    }
    let study = Study {
        schema: 1,
        seed: options.seed,
        engine: None,
        model_hash: None,
        simulated: false,
        rules: options.rules,
        targets: chosen_targets,
        triplets: chosen_triplets,
        samples,
        overrides: all_overrides(targets, sources),
    };
    Ok((study, drawer.passed_over))
}

/// `t001`, `t002` …
fn id(letter: char, index: usize) -> String {
    format!("{letter}{:03}", index + 1)
}

/// `count` genders in turn, so that any beginning is balanced too.
fn balanced(count: usize) -> Vec<Gender> {
    (0..count).map(|n| if n.is_multiple_of(2) { Gender::Female } else { Gender::Male }).collect()
}

fn all_overrides(targets: &FaceList, sources: &FaceList) -> Vec<Override> {
    let mut all = targets.overrides.clone();
    all.extend(sources.overrides.iter().filter(|change| !targets.overrides.contains(change)).cloned());
    all
}

/// Draws faces, each at most once.
struct Drawer<'a> {
    seed: Seed,
    max_yaw_deg: f32,
    folder: &'a Path,
    /// Pictures taken or turned down, by their name in the study.
    used: HashSet<String>,
    people: HashSet<String>,
    passed_over: PassedOver,
    check: &'a mut dyn FnMut(&Path) -> Result<Option<String>>,
}

impl Drawer<'_> {
    /// The next face of `gender` in an order that depends on the seed and the part alone.
    fn face(&mut self, list: &FaceList, gender: Gender, part: &str) -> Result<String> {
        let mut order: Vec<usize> = (0..list.faces.len()).collect();
        shuffle(&mut self.rng("faces", &[part, gender.as_str()]), &mut order);
        for index in order {
            let Some(face) = list.faces.get(index).filter(|face| face.gender == gender) else { continue };
            if let Some(image) = self.take(list, face)? {
                self.people.extend(face.person.clone());
                return Ok(image);
            }
        }
        let turned_down: usize = self.passed_over.values().sum();
        Err(Error::Usage(format!(
            "too few {gender} faces for another {part}: of {} in {}, {} are taken and {turned_down} were passed over; \
             ask for fewer targets, triplets or dummies",
            list.faces.iter().filter(|face| face.gender == gender).count(),
            list.folder.display(),
            self.used.len() - turned_down.min(self.used.len()),
        )))
    }

    /// The picture of `face` as the study names it, if it may be used and was not yet.
    fn take(&mut self, list: &FaceList, face: &FaceEntry) -> Result<Option<String>> {
        if face.person.as_ref().is_some_and(|person| self.people.contains(person)) {
            return Ok(None);
        }
        let path = list.folder.join(&face.image);
        let image = relative_to(&path, self.folder);
        if !self.used.insert(image.clone()) {
            return Ok(None);
        }
        let reason = if face.covered {
            Some("glasses or a hat".to_owned())
        } else if face.age_years.is_some_and(|age| age.is_nan() || age < ADULT_FROM_YEARS) {
            Some("under 18".to_owned())
        } else if face.yaw_deg.is_some_and(|yaw| yaw.is_nan() || yaw.abs() > self.max_yaw_deg) {
            Some("turned to the side".to_owned())
        } else {
            (self.check)(&path)?
        };
        if let Some(reason) = reason {
            *self.passed_over.entry(reason).or_default() += 1;
            return Ok(None);
        }
        Ok(Some(image))
    }

    /// A triplet whose answer is certain, and the answer: C once more, and a stranger.
    fn certain(&mut self, list: &FaceList, gender: Gender, id: String) -> Result<(SourceTriplet, Side)> {
        let (c, same, variant) = match self.two_photos(list, gender, &id)? {
            Some((c, same)) => (c, same, None),
            None => {
                let c = self.face(list, gender, "dummy")?;
                (c.clone(), c, Some(self.variant(&id)))
            }
        };
        let stranger = self.face(list, gender, "stranger")?;
        let correct = if below(&mut self.rng("correct", &[&id]), 2) == 0 { Side::A } else { Side::B };
        let (a, b) = if correct == Side::A { (same, stranger) } else { (stranger, same) };
        Ok((SourceTriplet { id, c, a, b, gender, variant }, correct))
    }

    /// Two photos of a person nobody has seen yet, if there is one.
    fn two_photos(&mut self, list: &FaceList, gender: Gender, id: &str) -> Result<Option<(String, String)>> {
        let mut by_person: HashMap<&str, Vec<&FaceEntry>> = HashMap::new();
        for face in list.faces.iter().filter(|face| face.gender == gender) {
            if let Some(person) = face.person.as_deref().filter(|person| !self.people.contains(*person)) {
                by_person.entry(person).or_default().push(face);
            }
        }
        let mut people: Vec<_> = by_person.into_iter().filter(|(_, faces)| faces.len() > 1).collect();
        people.sort_by_key(|(person, _)| *person);
        shuffle(&mut self.rng("two photos", &[id]), &mut people);
        for (person, faces) in people {
            let mut taken = Vec::new();
            for face in faces {
                taken.extend(self.take(list, face)?);
                if let [c, same] = taken.as_slice() {
                    self.people.insert(person.to_owned());
                    return Ok(Some((c.clone(), same.clone())));
                }
            }
        }
        Ok(None)
    }

    /// A mirrored, cropped and relit look, different each time.
    fn variant(&self, id: &str) -> Variant {
        const KEPT: [f32; 3] = [0.88, 0.92, 0.96];
        const GAMMA: [f32; 4] = [0.8, 0.9, 1.1, 1.25];
        let mut rng = self.rng("variant", &[id]);
        let (kept, gamma) = (below(&mut rng, KEPT.len()), below(&mut rng, GAMMA.len()));
        Variant { mirrored: true, kept: KEPT[kept], gamma: GAMMA[gamma] }
    }

    /// A target for the dummy `id`: of its gender where there is one.
    fn target_of<'t>(&self, targets: &'t [Target], gender: Gender, id: &str) -> Result<&'t Target> {
        let same: Vec<&Target> = targets.iter().filter(|target| target.gender == gender).collect();
        let from = if same.is_empty() { targets.iter().collect() } else { same };
        from.get(below(&mut self.rng("dummy target", &[id]), from.len()))
            .copied()
            .ok_or_else(|| Error::Usage("a study needs a target".to_owned()))
    }

    /// The targets and triplets picked by hand.
    fn picked(
        &mut self,
        targets: &FaceList,
        sources: &FaceList,
        picks: &[Pick],
    ) -> Result<(Vec<Target>, Vec<SourceTriplet>)> {
        let mut chosen = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let mut places: HashMap<(&str, Place), (String, Gender)> = HashMap::new();
        for pick in picks {
            let list = if pick.source.is_some() { sources } else { targets };
            let face = list.faces.iter().find(|face| face.image == pick.image);
            let unknown = || Error::Usage(format!("the pick {} is not in {}", pick.image, list.folder.display()));
            let face = face.ok_or_else(unknown)?;
            let image = self.take(list, face)?.ok_or_else(|| {
                Error::Usage(format!(
                    "the pick {} cannot be used: it stands there twice, or wears glasses or a hat, is under 18, turned \
                     away or unreadable",
                    pick.image
                ))
            })?;
            match &pick.source {
                None => chosen.push(Target { id: id('t', chosen.len()), image, gender: face.gender }),
                Some((triplet, place)) => {
                    if !names.contains(&triplet.as_str()) {
                        names.push(triplet);
                    }
                    places.insert((triplet, *place), (image, face.gender));
                }
            }
        }
        // A person may stand in several picks of one triplet only by mistake of the picker; it is said by the list.
        for pick in picks {
            let all = targets.faces.iter().chain(&sources.faces);
            self.people.extend(all.filter(|face| face.image == pick.image).filter_map(|face| face.person.clone()));
        }
        let mut triplets = Vec::new();
        for name in names {
            let incomplete = || Error::Usage(format!("the picked triplet {name} needs one each of c, a and b"));
            let mut of = |place| places.remove(&(name, place)).ok_or_else(incomplete);
            let ((c, gender), (a, gender_a), (b, gender_b)) = (of(Place::C)?, of(Place::A)?, of(Place::B)?);
            if gender != gender_a || gender != gender_b {
                return Err(Error::Usage(format!("the picked triplet {name} mixes genders")));
            }
            triplets.push(SourceTriplet { id: id('s', triplets.len()), c, a, b, gender, variant: None });
        }
        if chosen.is_empty() || triplets.is_empty() {
            return Err(Error::Usage("the picks need at least one target and one triplet".to_owned()));
        }
        Ok((chosen, triplets))
    }

    fn rng(&self, purpose: &str, parts: &[&str]) -> ChaCha20Rng {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        self.seed.keyed(&format!("study {purpose}"), &parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(count: usize, with_people: bool) -> FaceList {
        let face = |n: usize| FaceEntry {
            image: format!("{n}.jpg"),
            gender: if n.is_multiple_of(2) { Gender::Male } else { Gender::Female },
            age_group: None,
            covered: false,
            yaw_deg: None,
            age_years: None,
            // Neighbours of one gender are one person.
            person: with_people.then(|| format!("p{}-{}", n % 2, n / 4)),
        };
        FaceList { folder: "/faces".into(), faces: (0..count).map(face).collect(), overrides: Vec::new() }
    }

    fn small() -> DesignOptions {
        DesignOptions { targets: 4, triplets: 6, dummies: 4, practice: 2, ..Default::default() }
    }

    fn draw(list: &FaceList, options: &DesignOptions) -> Result<Study> {
        Ok(design(list, list, &[], options, Path::new("/study"), &mut |_| Ok(None))?.0)
    }

    /// Every picture with how often it stands in the study, but for C of a dummy's variant.
    fn pictures(study: &Study) -> Vec<&str> {
        let mut all: Vec<&str> = study.targets.iter().map(|t| t.image.as_str()).collect();
        for triplet in &study.triplets {
            let mut three = [triplet.c.as_str(), &triplet.a, &triplet.b].to_vec();
            if triplet.variant.is_some() {
                three.sort_unstable();
                three.dedup();
            }
            all.extend(three);
        }
        all
    }

    #[test]
    fn the_papers_design_has_6400_samples_balanced_by_gender() {
        let options = DesignOptions { dummies: 20, ..Default::default() };
        let study = draw(&list(800, false), &options).unwrap();
        assert_eq!(study.of_kind(SampleKind::Real).count(), 6400);
        let males = |genders: Vec<Gender>| genders.iter().filter(|g| **g == Gender::Male).count();
        assert_eq!(males(study.targets.iter().map(|t| t.gender).collect()), 40);
        let real = study.triplets.iter().filter(|t| t.id.starts_with('s'));
        assert_eq!(males(real.map(|t| t.gender).collect()), 40);
        let same = draw(&list(800, false), &DesignOptions { same_gender: true, ..options }).unwrap();
        assert_eq!(same.of_kind(SampleKind::Real).count(), 3200);
    }

    #[test]
    fn no_picture_has_two_parts_and_no_person_two_but_in_dummies() {
        for with_people in [false, true] {
            let study = draw(&list(200, with_people), &small()).unwrap();
            let all = pictures(&study);
            let distinct: HashSet<_> = all.iter().collect();
            assert_eq!(all.len(), distinct.len());
            let number = |image: &str| image.trim_start_matches("../faces/").trim_end_matches(".jpg").parse::<usize>();
            let person = |image: &str| number(image).map(|n| (n % 2, n / 4)).unwrap();
            for sample in study.samples.iter().filter(|s| s.kind != SampleKind::Real) {
                let triplet = study.triplet(&sample.triplet_id).unwrap();
                let same = triplet.image(sample.correct.unwrap().into());
                let stranger = triplet.image(sample.correct.unwrap().other().into());
                assert_eq!(triplet.variant.is_none(), with_people);
                assert_eq!(person(same), person(&triplet.c));
                assert_ne!(person(stranger), person(&triplet.c));
            }
            if with_people {
                let real = study.triplets.iter().filter(|t| t.id.starts_with('s'));
                let mut people: Vec<_> = real.flat_map(|t| [&t.c, &t.a, &t.b]).map(|image| person(image)).collect();
                people.extend(study.targets.iter().map(|t| person(&t.image)));
                let distinct: HashSet<_> = people.iter().collect();
                assert_eq!(people.len(), distinct.len());
            }
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_study() {
        let faces = list(200, false);
        let other = DesignOptions { seed: 2, ..small() };
        assert_eq!(draw(&faces, &small()).unwrap(), draw(&faces, &small()).unwrap());
        assert_ne!(draw(&faces, &small()).unwrap().targets, draw(&faces, &other).unwrap().targets);
    }

    #[test]
    fn the_covered_the_turned_and_minors_are_passed_over() {
        let mut faces = list(200, false);
        for (n, face) in faces.faces.iter_mut().enumerate() {
            face.covered = n % 10 == 1;
            face.age_years = Some(if n % 10 == 2 { 17.0 } else { 30.0 });
            face.yaw_deg = Some(if n % 10 == 3 { -50.0 } else { 5.0 });
        }
        // NaN is no age and no angle that could be trusted.
        faces.faces[4].age_years = Some(f32::NAN);
        let study = draw(&faces, &small()).unwrap();
        for image in pictures(&study) {
            let n: usize = image.trim_start_matches("../faces/").trim_end_matches(".jpg").parse().unwrap();
            assert!(![1, 2, 3].contains(&(n % 10)) && n != 4, "{image}");
        }
    }

    #[test]
    fn faces_the_check_turns_down_are_counted_and_others_taken() {
        let faces = list(100, false);
        let turn_down = &mut |path: &Path| {
            let odd = path.to_string_lossy().ends_with("5.jpg");
            Ok(odd.then(|| "no face".to_owned()))
        };
        let (study, passed) = design(&faces, &faces, &[], &small(), Path::new("/study"), turn_down).unwrap();
        assert!(passed["no face"] > 0);
        assert!(pictures(&study).iter().all(|image| !image.ends_with("5.jpg")));
    }

    #[test]
    fn too_few_faces_are_said_with_what_would_help() {
        let message = draw(&list(30, false), &small()).unwrap_err().to_string();
        assert!(message.contains("too few") && message.contains("fewer targets"), "{message}");
    }

    #[test]
    fn picks_are_taken_as_they_are() {
        let faces = list(60, false);
        let pick = |n: usize, source: Option<(&str, Place)>| Pick {
            image: format!("{n}.jpg"),
            source: source.map(|(name, place)| (name.to_owned(), place)),
        };
        let picks = [
            pick(0, None),
            pick(2, Some(("x", Place::C))),
            pick(4, Some(("x", Place::A))),
            pick(6, Some(("x", Place::B))),
        ];
        let drawn = |picks: &[Pick]| {
            design(&faces, &faces, picks, &small(), Path::new("/study"), &mut |_| Ok(None)).map(|d| d.0)
        };
        let study = drawn(&picks).unwrap();
        assert_eq!(study.of_kind(SampleKind::Real).count(), 1);
        assert_eq!(study.triplets[0].a, "../faces/4.jpg");
        assert!(drawn(&picks[..3]).unwrap_err().to_string().contains("one each of c, a and b"));
        let mixed = [picks[0].clone(), picks[1].clone(), picks[2].clone(), pick(7, Some(("x", Place::B)))];
        assert!(drawn(&mixed).unwrap_err().to_string().contains("mixes genders"));
    }
}
