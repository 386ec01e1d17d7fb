# What `cmake --install` puts where, so that find_package(cuclip) works from outside.
install(TARGETS cuclip_kernels cuclip_core cuclip_models cuclip_api_static EXPORT cuclipTargets)
install(TARGETS cuclip_train EXPORT cuclipTrainTargets)  # apart: it needs packages that the others do without
if(TARGET cuclip_api)  # apart too: it needs none
  install(TARGETS cuclip_api EXPORT cuclipApiTargets)
endif()
install(TARGETS cuclip RUNTIME)
if(TARGET cuclip_mpi)
  install(TARGETS cuclip_mpi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()

# The headers that users may include; every other one is private, and so is a new one until it is listed here.
# What a user's header includes is a user's too: the consumer test compiles all of them where the private ones
# are not.
function(install_headers folder)
  foreach(name ${ARGN})
    if(NOT EXISTS ${PROJECT_SOURCE_DIR}/${folder}/${name})
      message(FATAL_ERROR "cmake/install.cmake: there is no header ${folder}/${name} to install")
    endif()
    install(FILES ${PROJECT_SOURCE_DIR}/${folder}/${name}
            DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cuclip/${folder})
  endforeach()
endfunction()
# <cuclip/cuclip.h> and <cuclip/cuclip_c.h>
install(DIRECTORY ${PROJECT_SOURCE_DIR}/models/api/include/cuclip DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install_headers(kernels/common check.h current_gpu.h device.h dtype.h error.h exec_context.h parallel.h profiler.h rounding.h signals.h
                stream.h tensor_view.h)
install_headers(kernels/tiles product_policy.h)
foreach(operation adamw attention attention_pool batch_norm contrastive_loss conv2d gemm layer_norm mean_token
                  patch_embed pixels pointwise pool pool2d random similarity token_embed)
  install_headers(kernels/${operation} ${operation}.h)
endforeach()
install_headers(kernels/gemm gemm_cublaslt.h)
install_headers(core allocator.h branch.h communicator.h context.h control_channel.h device_choice.h file_io.h
                file_lock.h gradient_tree.h initialiser.h input_file.h launcher.h mpi_communicator.h ops.h
                parameter.h precision.h ranks.h ring_loss.h rng.h rows.h tape.h tensor.h together.h words.h)
install_headers(models/clip clip.h clip_config.h clip_size.h hf_config.h hf_preprocessor.h image_encoder.h
                modified_resnet.h text_transformer.h transformer.h vision_transformer.h weight_names.h weight_shards.h
                weights.h)
install_headers(models/files file_names.h npy.h picture_files.h safetensors.h weight_files.h)
install_headers(models/image image.h image_decode.h image_transform.h resample.h)
install_headers(models/inference classification.h encode.h feature_index.h folder_indexer.h labelled_pictures.h
                linear_probe.h model_source.h query_ranking.h relevance.h retrieval.h search_query.h unit_rows.h
                zero_shot.h)
install_headers(models/text bpe_merges.h bpe_trainer.h hf_tokenizer.h normalise_caption.h text_cleaning.h tokenizer.h)
install_headers(train/data caption_parts.h captions.h corruption.h dataset.h dataset_stats.h eval_data.h fingerprint.h
                labelled_features.h loader.h prepare.h probe_eval.h sample.h search_eval.h synthetic.h
                synthetic_eval.h threshold_eval.h)
install_headers(train/draw contact_sheet.h font.h gallery.h heat_map.h line_chart.h png.h scene.h)
install_headers(train/loop checkpoint.h lr_schedule.h open_run.h optimizer.h patch_dropout.h progress.h
                report.h run_folder.h run_log.h step_computation.h step_replay.h step_types.h train_config.h
                train_step.h trainer.h)

set(cuclip_package ${CMAKE_INSTALL_LIBDIR}/cmake/cuclip)
install(EXPORT cuclipTargets NAMESPACE cuclip:: DESTINATION ${cuclip_package})
install(EXPORT cuclipTrainTargets NAMESPACE cuclip:: DESTINATION ${cuclip_package})
if(TARGET cuclip_api)
  install(EXPORT cuclipApiTargets NAMESPACE cuclip:: DESTINATION ${cuclip_package})
endif()
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/cuclipConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/cuclipConfig.cmake INSTALL_DESTINATION ${cuclip_package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cuclipConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cuclipConfig.cmake ${PROJECT_BINARY_DIR}/cuclipConfigVersion.cmake
              ${PROJECT_SOURCE_DIR}/cmake/cuda_toolkit.cmake
        DESTINATION ${cuclip_package})

# For those who build without CMake. It finds itself, so that the prefix may be chosen when it is installed,
# or moved later. Only folders that were configured as absolute paths stay what they are, and the CUDA
# toolkit, for static programs (elsewhere: pkg-config --define-variable=cuda_libdir=FOLDER).
set(pkgconfig_folder ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
  set(pc_prefix ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH pc_prefix /${pkgconfig_folder} /)
  string(REGEX REPLACE "/$" "" pc_prefix "\${pcfiledir}/${pc_prefix}")
endif()
foreach(folder libdir includedir)
  string(TOUPPER CMAKE_INSTALL_${folder} configured)
  set(pc_${folder} ${${configured}})
  if(NOT IS_ABSOLUTE ${pc_${folder}})
    string(PREPEND pc_${folder} "\${prefix}/")
  endif()
endforeach()
set(pc_cuda)
set(cudart_libraries)
if(CUCLIP_WITH_CUDA)
  set(pc_cuda "\ncuda_libdir=${CUDAToolkit_LIBRARY_DIR}")
  if(CUCLIP_CUDART STREQUAL "CUDA::cudart")
    # As with CMake's own programs: the loader need not know the toolkit's folder.
    set(cudart_libraries " -L\${cuda_libdir} -Wl,-rpath,\${cuda_libdir} -lcudart")
  else()
    set(cudart_libraries " -L\${cuda_libdir} -lcudart_static -lrt -ldl")
  endif()
endif()
set(tiff_libraries)
if(TIFF_FOUND)
  set(tiff_libraries " -ltiff")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/cuclip.pc.in ${PROJECT_BINARY_DIR}/cuclip.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/cuclip.pc DESTINATION ${pkgconfig_folder})
