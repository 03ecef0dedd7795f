//! The space of shapes that a group's meshes span.

use crate::swap::warp::pose::Point3;

/// A group's mean shape, and each person's difference from the mean of theirs, in the frontal frame.
pub struct ShapeSpace {
    mean: Vec<Point3>,
    differences: Vec<Vec<Point3>>,
}

impl ShapeSpace {
    /// Of shapes with the same number of points. The first `group` give the mean; the rest have one of their own.
    pub fn of(shapes: &[Vec<Point3>], group: usize) -> Self {
        let (group, others) = shapes.split_at(group.min(shapes.len()));
        let mean = mean_of(group);
        let others_mean = mean_of(others);
        let from = |mean: &[Point3], shape: &[Point3]| -> Vec<Point3> {
            shape.iter().zip(mean).map(|(p, m)| std::array::from_fn(|k| p[k] - m[k])).collect()
        };
        let differences = group.iter().map(|s| from(&mean, s)).chain(others.iter().map(|s| from(&others_mean, s)));
        Self { differences: differences.collect(), mean }
    }

    /// The group's mean.
    pub fn mean(&self) -> &[Point3] {
        &self.mean
    }

    /// The mean plus each difference times its weight.
    pub fn mixed(&self, weights: &[f32]) -> Vec<Point3> {
        let mut shape = self.mean.clone();
        for (difference, &w) in self.differences.iter().zip(weights) {
            for (p, d) in shape.iter_mut().zip(difference) {
                *p = std::array::from_fn(|k| p[k] + w * d[k]);
            }
        }
        shape
    }
}

fn mean_of(shapes: &[Vec<Point3>]) -> Vec<Point3> {
    let points = shapes.first().map_or(0, Vec::len);
    let share = 1.0 / shapes.len().max(1) as f32;
    (0..points)
        .map(|i| shapes.iter().fold([0.0; 3], |sum, s| std::array::from_fn(|k| sum[k] + share * s[i][k])))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_one_gives_the_donor_back() {
        let shapes = vec![vec![[0.0, 0.0, 0.0]], vec![[1.0, 2.0, 3.0]], vec![[5.0, 1.0, 0.0]]];
        let space = ShapeSpace::of(&shapes, 3);
        let back = space.mixed(&[0.0, 1.0, 0.0])[0];
        assert!(back.iter().zip(shapes[1][0]).all(|(a, b)| (a - b).abs() < 1e-6));
        assert_eq!(space.mixed(&[0.0; 3])[0], [2.0, 1.0, 1.0]);
    }
}
