//! How often a pool leads to the right group: on its own faces left out in turn, and on labelled faces outside it.

use std::collections::HashSet;

use super::groups::distances;
use perface::embedding::EmbeddingSet;
use perface::error::{Error, Result};
use perface::group::{Gallery, GroupDistance, Meter, nearest_by_distance};
use perface::pool::{AccuracyMethod, AgeGroup, Gender, Group, GroupAccuracy, Member};
use perface::summary::Proportion;

/// Counts of right choices.
#[derive(Default)]
struct Tally {
    n: usize,
    gender: usize,
    age: usize,
    both: usize,
}

impl Tally {
    fn add(&mut self, (gender, age): (Gender, AgeGroup), chosen: Group) {
        let gender = chosen.gender() == Some(gender);
        let age = chosen.age_group() == Some(age);
        self.n += 1;
        self.gender += usize::from(gender);
        self.age += usize::from(age);
        self.both += usize::from(gender && age);
    }

    fn accuracy(&self, method: AccuracyMethod, definition: GroupDistance, on: &str) -> Option<GroupAccuracy> {
        Some(GroupAccuracy {
            gender: Proportion::wilson(self.gender, self.n)?,
            age: Proportion::wilson(self.age, self.n)?,
            four_way: Proportion::wilson(self.both, self.n)?,
            n: self.n,
            method,
            definition: definition.to_string(),
            measured_on: on.to_owned(),
        })
    }
}

/// Accuracy of the choice among the four intersections when each pool face is compared with the others.
///
/// Faces that share a contributor with it are left out with it. A face after which its own group has no one left
/// is not tried, as it could not be right. Still kinder than new faces: pictures of one source resemble each other.
///
/// # Errors
/// [`Error::Usage`] if no face can be tried or `embeddings` is not of as many faces as `members`.
pub fn leave_one_out(
    members: &[Member],
    embeddings: &EmbeddingSet,
    definition: GroupDistance,
) -> Result<GroupAccuracy> {
    if members.len() != embeddings.len() {
        return Err(Error::Usage(format!("{} descriptors for {} pool faces", embeddings.len(), members.len())));
    }
    let mut meter = Meter::new(definition);
    let mut tally = Tally::default();
    for (index, member) in members.iter().enumerate() {
        let Some(query) = embeddings.get(index) else { continue };
        let people: HashSet<&str> = member.contributors.iter().map(String::as_str).collect();
        let related = |other: &Member| other.contributors.iter().any(|person| people.contains(person.as_str()));
        let cosines = embeddings.cosines(&query);
        let rest = members.iter().zip(cosines).enumerate();
        let rest = rest.filter(|(place, (other, _))| *place != index && !related(other));
        let (labels, distances): (Vec<_>, Vec<_>) =
            rest.map(|(_, (other, cosine))| ((other.gender, other.age_group), 1.0 - f64::from(cosine))).unzip();
        let own = (member.gender, member.age_group);
        if !labels.contains(&own) {
            continue;
        }
        if let Some(choice) = nearest_by_distance(&labels, &distances, &mut meter, &Group::INTERSECTIONS) {
            tally.add(own, choice.chosen);
        }
    }
    let on = format!("the pool's own {} faces", tally.n);
    tally
        .accuracy(AccuracyMethod::LeaveOneOut, definition, &on)
        .ok_or_else(|| Error::Usage("no group of the pool has two unrelated faces to measure with".to_owned()))
}

/// Accuracy of the choice among the four intersections of `pool` for labelled faces outside it.
///
/// `measured_on` says in words which faces they are.
///
/// # Errors
/// [`Error::Usage`] if an intersection of the pool or all faces are missing, or widths differ.
pub fn held_out(
    pool: &Gallery,
    faces: &Gallery,
    definition: GroupDistance,
    measured_on: &str,
) -> Result<GroupAccuracy> {
    let mut meter = Meter::new(definition);
    let mut tally = Tally::default();
    for (label, distances) in faces.labels().iter().zip(distances(pool, faces)?) {
        if let Some(choice) = nearest_by_distance(pool.labels(), &distances, &mut meter, &Group::INTERSECTIONS) {
            tally.add(*label, choice.chosen);
        }
    }
    tally
        .accuracy(AccuracyMethod::HeldOut, definition, measured_on)
        .ok_or_else(|| Error::Usage("there are no labelled faces to measure with".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use perface::embedding::Embedding;
    use perface::pool::LabelSource;

    fn member(group: Group, contributors: &[&str]) -> Member {
        Member {
            id: String::new(),
            file: String::new(),
            gender: group.gender().unwrap(),
            age_group: group.age_group().unwrap(),
            label_source: LabelSource::Composite,
            source: String::new(),
            licence: String::new(),
            attribution: String::new(),
            contributors: contributors.iter().map(|person| (*person).to_owned()).collect(),
            other: Vec::new(),
        }
    }

    fn at(degrees: f32) -> Embedding {
        Embedding::from_raw(&[degrees.to_radians().cos(), degrees.to_radians().sin()]).unwrap()
    }

    #[test]
    fn a_face_is_not_compared_with_itself_or_its_relatives() {
        use Group::{OlderFemale, YoungMale};
        let members = [
            member(YoungMale, &["1", "2"]),
            member(YoungMale, &["2", "3"]),
            member(YoungMale, &["4"]),
            member(OlderFemale, &["5"]),
            member(OlderFemale, &["6"]),
        ];
        let rows = [at(0.0), at(1.0), at(60.0), at(10.0), at(12.0)];
        let set = EmbeddingSet::from_rows(&rows).unwrap();
        let result = leave_one_out(&members, &set, GroupDistance::Mean).unwrap();
        // The first two have only the far third to go by and end with the women; so does the third.
        assert_eq!((result.n, result.four_way.hits, result.gender.hits), (5, 2, 2));
        assert_eq!(result.method, AccuracyMethod::LeaveOneOut);
        let without_names: Vec<Member> =
            members.iter().map(|m| Member { contributors: Vec::new(), ..m.clone() }).collect();
        let kinder = leave_one_out(&without_names, &set, GroupDistance::Min).unwrap();
        assert_eq!(kinder.four_way.hits, 4);
    }

    #[test]
    fn a_face_alone_in_its_group_is_not_tried() {
        let members = [member(Group::YoungMale, &[]), member(Group::OlderMale, &[]), member(Group::OlderMale, &[])];
        let set = EmbeddingSet::from_rows(&[at(0.0), at(50.0), at(51.0)]).unwrap();
        assert_eq!(leave_one_out(&members, &set, GroupDistance::Mean).unwrap().n, 2);
        let alone = EmbeddingSet::from_rows(&[at(0.0)]).unwrap();
        assert!(leave_one_out(&members[..1], &alone, GroupDistance::Mean).is_err());
        assert!(leave_one_out(&members, &alone, GroupDistance::Mean).is_err());
    }

    #[test]
    fn labelled_faces_outside_the_pool_are_counted() {
        let labels: Vec<(Gender, AgeGroup)> =
            Group::INTERSECTIONS.iter().map(|group| (group.gender().unwrap(), group.age_group().unwrap())).collect();
        let rows = [at(0.0), at(30.0), at(60.0), at(90.0)];
        let pool = Gallery::new(labels.clone(), EmbeddingSet::from_rows(&rows).unwrap()).unwrap();
        let turned = [at(2.0), at(32.0), at(62.0), at(32.0)];
        let faces = Gallery::new(labels, EmbeddingSet::from_rows(&turned).unwrap()).unwrap();
        let result = held_out(&pool, &faces, GroupDistance::Mean, "four faces").unwrap();
        assert_eq!((result.n, result.four_way.hits, result.gender.hits, result.age.hits), (4, 3, 4, 3));
        assert_eq!((result.method, result.measured_on.as_str()), (AccuracyMethod::HeldOut, "four faces"));
    }
}
