//! A pool made ready: an embedding for every member, and what a swap needs of those that are tried.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use image::RgbImage;

use crate::detect::{Detector, Face};
use crate::embed::Embedder;
use crate::embedding::Embedding;
use crate::error::{Error, Result};
use crate::geometry::Point;
use crate::group::Gallery;
use crate::mesh::{Mesh, Mesher};
use crate::model::card::{Aligner, ModelCard};
use crate::photo::{self, Limits};
use crate::pool::manifest::resolve_inside;
use crate::pool::{CacheKey, EmbeddingCache, Member, PixelHash, Pool};
use crate::swap::Material;

/// Column of `pool.csv` with the picture of the same person smiling.
pub const SMILING_COLUMN: &str = "smiling";

/// How a face is found and cut out before it is embedded by the network of `card`; part of the key of cached
/// embeddings.
pub fn aligner_key(card: &ModelCard) -> String {
    match card.preprocessing.aligner {
        Aligner::Arcface => "yunet-main+arcface112 v1".to_owned(),
        other => format!("yunet-main+{} v1", other.as_str()),
    }
}

/// What finds and reads the faces of pictures that show one person.
#[derive(Clone)]
pub struct Reader {
    /// Finds the face.
    pub detector: Detector,
    /// Lays its mesh.
    pub mesher: Mesher,
    /// Embeds it.
    pub embedder: Embedder,
}

impl Reader {
    /// The face `picture` is of: large and near the middle; `None` if there is none.
    ///
    /// Area − 2·distance², the rule of InsightFace's `max_num`: it finds the named person in all but a few photos
    /// with bystanders.
    ///
    /// # Errors
    /// If the detector's network fails.
    pub fn main_face(&self, picture: &RgbImage) -> Result<Option<Face>> {
        let faces = self.detector.detect(picture)?;
        let middle = Point::new(picture.width() as f32 / 2.0, picture.height() as f32 / 2.0);
        let weight = |face: &Face| face.box_px.area() - 2.0 * face.box_px.centre().distance(middle).powi(2);
        Ok(faces.into_iter().max_by(|a, b| weight(a).total_cmp(&weight(b))))
    }

    /// The embedding of the main face in the file `path`.
    ///
    /// # Errors
    /// If the file cannot be read, shows no face, or a network fails.
    pub fn embed_file(&self, path: &Path) -> Result<Embedding> {
        let picture = photo::read(path, &Limits::default())?.pixels;
        let face = self.face_of(path, &picture)?;
        self.embedder.embed_face(&picture, &face)?.ok_or_else(|| no_face(path))
    }

    /// The picture in the file `path` and the mesh of its main face.
    ///
    /// # Errors
    /// As [`Reader::embed_file`].
    pub fn mesh_file(&self, path: &Path) -> Result<(RgbImage, Mesh)> {
        let picture = photo::read(path, &Limits::default())?.pixels;
        let face = self.portrait_of(path, &picture)?;
        let mesh = self.mesher.mesh(&picture, &face)?.ok_or_else(|| no_face(path))?;
        Ok((picture, mesh))
    }

    fn face_of(&self, path: &Path, picture: &RgbImage) -> Result<Face> {
        self.main_face(picture)?.ok_or_else(|| no_face(path))
    }

    /// As [`Reader::face_of`], with one look where that shows one face beyond doubt: portraits do.
    fn portrait_of(&self, path: &Path, picture: &RgbImage) -> Result<Face> {
        const BEYOND_DOUBT: f32 = 0.9;
        const ONE_LOOK_PX: u32 = 640;
        if picture.width().max(picture.height()) <= ONE_LOOK_PX
            && let [face] = self.detector.detect_once(picture)?.as_slice()
            && face.score >= BEYOND_DOUBT
        {
            return Ok(face.clone());
        }
        self.face_of(path, picture)
    }
}

fn no_face(path: &Path) -> Error {
    Error::Unreadable { path: path.to_owned(), reason: "no face was found in this picture".to_owned() }
}

/// A pool's members with their embeddings; pictures and meshes are read when they are first needed.
pub struct Candidates {
    pool: Pool,
    gallery: Gallery,
    reader: Reader,
    materials: Vec<OnceLock<Option<Arc<Material>>>>,
}

impl Candidates {
    /// Embed `pool`, or take the embeddings cached in `cache_folder` by `runtime`.
    ///
    /// # Errors
    /// If a member's picture cannot be read or shows no face.
    pub fn load(pool: Pool, reader: Reader, cache_folder: &Path, runtime: &str) -> Result<Self> {
        let key = CacheKey {
            model_sha256: reader.embedder.card().sha256.clone(),
            aligner: aligner_key(reader.embedder.card()),
            runtime: runtime.to_owned(),
        };
        let mut cache = EmbeddingCache::open(cache_folder, key);
        let pixel_hash = |path: &Path| Ok(PixelHash::of(&photo::read(path, &Limits::default())?.pixels));
        let embeddings = pool.embed(&mut cache, pixel_hash, |path| reader.embed_file(path))?;
        let gallery = Gallery::of_members(pool.members(), embeddings)
            .ok_or_else(|| Error::Usage("the pool has no faces".to_owned()))?;
        let materials = pool.members().iter().map(|_| OnceLock::new()).collect();
        Ok(Self { pool, gallery, reader, materials })
    }

    /// The pool.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The members' labels and embeddings, in the pool's order.
    pub fn gallery(&self) -> &Gallery {
        &self.gallery
    }

    /// What a swap needs of member `index`; `None` if there is no such member or its mesh cannot be laid.
    pub fn material(&self, index: usize) -> Option<Arc<Material>> {
        let (member, slot) = (self.pool.members().get(index)?, self.materials.get(index)?);
        slot.get_or_init(|| match self.read_material(member) {
            Ok(material) => Some(Arc::new(material)),
            Err(error) => {
                tracing::warn!("a pool face cannot be used: {error}");
                None
            }
        })
        .clone()
    }

    fn read_material(&self, member: &Member) -> Result<Material> {
        let (picture, mesh) = self.reader.mesh_file(&resolve_inside(self.pool.folder(), &member.file)?)?;
        let twin = match self.pool.cell(member, SMILING_COLUMN) {
            Some(file) => Some(self.reader.mesh_file(&resolve_inside(self.pool.folder(), file)?)?),
            None => None,
        };
        Ok(Material::new(picture, mesh, twin))
    }
}
